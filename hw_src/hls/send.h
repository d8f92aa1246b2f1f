// SPDX-License-Identifier: Apache-2.0
// The back end: answers packets in the order of Receive's verdicts, with the scores of lines or the data that comes
// through the configuration chain. It alone writes to the core's output: TLAST stands on every answer's last word.
#pragma once

#include "config.h"
#include "crc.h"
#include "packet.h"
#include "types.h"

namespace zeile {

template <class D>
class Send {
 public:
  using Scores_t = ScoreElement<D::kScoreLanes>;

  bool step(hls::stream<Packet> &packets, hls::stream<Scores_t> &scores, hls::stream<Config> &config,
            hls::stream<Beat> &out, hls::stream<Retired> &retired) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = bytes_.v type = complete dim = 0
    ++cycle_;
    if (state_ == kIdle) return packets.empty() ? false : Begin(packets.read());
    if (state_ == kSkip) return scores.empty() ? false : Skip(scores.read());
    if (state_ == kFence) return config.empty() ? false : Fence(config.read());
    if (state_ == kHeader) return out.full() ? false : Header(out);
    if (state_ == kCount) return out.full() ? false : Count(out);
    if (state_ == kWords) return out.full() || config.empty() ? false : Word(config.read(), out);
    if (state_ == kScores) return Scores(scores, out);
    return out.full() || retired.full() ? false : Trailer(out, retired);  // kTrailer
  }

 private:
  static constexpr int kLanes = D::kScoreLanes;
  static constexpr int kChunk = kLanes < 2 ? 2 : kLanes;                         // bytes that an element adds at most
  static constexpr int kRoom = 7 + kChunk;                                       // bytes that wait at most
  static constexpr int kStepColumns = D::kColumnsPerStep / D::kColumnsPerFrame;  // frames of a step

  enum State { kIdle, kSkip, kFence, kHeader, kCount, kWords, kScores, kTrailer };

  bool Go(State state) {
    state_ = state;
    return true;
  }

  bool Begin(const Packet &packet) {
    packet_ = packet;
    left_ = packet.count;
    fill_ = 0;
    flush_ = ended_ = false;
    next_label_ = 0;
    const bool refused = packet.kind == kError;
    if (refused && packet.line) return Go(kSkip);
    return Go(packet.kind == kLoad || packet.kind == kCommit ? kFence : kHeader);
  }

  // Scores of a line whose packet was broken.
  bool Skip(const Scores_t &element) { return element.last ? Go(kHeader) : true; }

  bool Fence(const Config &) { return Go(kHeader); }

  bool Header(hls::stream<Beat> &out) {
    const int kind = packet_.kind == kError ? kError : packet_.kind.to_int() | kAnswer;
    crc_ = kCrcStart;
    Put(HeaderWord(kind, packet_.field.to_uint(), packet_.tag.to_uint()), out);
    return Go(kCount);
  }

  bool Count(hls::stream<Beat> &out) {
    const int kind = packet_.kind;
    uint64_t count = packet_.count.to_uint(), upper = 0;
    State next = kTrailer;
    switch (kind) {
      case kError:
        upper = packet_.detail.to_uint();
        break;
      case kInfer:
        count = (count + (kStepColumns - 1)) / kStepColumns;  // ceilings of ceilings: pools in turn give the same
        upper = packet_.classes.to_uint();
        next = count > 0 ? kScores : kTrailer;
        break;
      case kLoad:
      case kCommit:
        count = 0;
        break;
      default:
        next = count > 0 ? kWords : kTrailer;
        break;
    }
    Put(count | upper << 32, out);
    return Go(next);
  }

  bool Word(const Config &config, hls::stream<Beat> &out) {
    Put(config.data.to_uint64(), out);
    --left_;
    return left_ == 0 ? Go(kTrailer) : true;
  }

  // Bytes gather until they fill a word. A step's scores, and a line's best labels, end with their own word.
  bool Scores(hls::stream<Scores_t> &scores, hls::stream<Beat> &out) {
    const bool ready = fill_ >= 8 || (flush_ && fill_ > 0);
    if (ready && out.full()) return false;
    bool moved = ready;
    if (ready) {
      Put(FirstWord(), out);
      DropWord();
    }
    if (fill_ == 0) flush_ = false;
    if (ended_ && fill_ == 0) return Go(kTrailer);
    if (fill_ < 8 && !flush_ && !ended_ && !scores.empty()) {
      Take(scores.read());
      moved = true;
    }
    return moved;
  }

  void Take(const Scores_t &element) {
    const int count = element.count.to_int();
    Pack<ap_uint<8>, kChunk> bytes;
#pragma HLS ARRAY_PARTITION variable = bytes.v type = complete dim = 0
  Take_Lanes:
    for (int i = 0; i < kChunk; ++i) {
#pragma HLS UNROLL
      bytes.v[i] = 0;
      if (i < kLanes && i < count) bytes.v[i] = element.score.v[i < kLanes ? i : 0];
    }
    TakeBest(element, count);
    const bool best = packet_.field == 1;
    if (best) {
      bytes.v[0] = best_label_;
      bytes.v[1] = best_score_;
    Take_Clear:
      for (int i = 2; i < kChunk; ++i) {
#pragma HLS UNROLL
        bytes.v[i] = 0;
      }
    }
    const int added = !best ? count : element.end ? 2 : 0;
    if (added > 0) Gather(bytes, added);
    flush_ = best ? element.last : element.end;
    ended_ = element.last;
    if (element.end) next_label_ = 0;
  }

  // The lowest label among those with the highest score: first within the element, then against those before.
  void TakeBest(const Scores_t &element, int count) {
    ap_int<8> score = element.score.v[0];
    int lane = 0;
  Best_Lanes:
    for (int i = 1; i < kLanes; ++i) {
#pragma HLS UNROLL
      if (i < count && element.score.v[i] > score) {
        score = element.score.v[i];
        lane = i;
      }
    }
    if (next_label_ == 0 || score > best_score_) {
      best_score_ = score;
      best_label_ = next_label_ + lane;
    }
    next_label_ += count;
  }

  // Puts a chunk behind the bytes that wait.
  void Gather(const Pack<ap_uint<8>, kChunk> &bytes, int added) {
    const int fill = fill_;
  Gather_Bytes:
    for (int to = 0; to < kRoom; ++to) {
#pragma HLS UNROLL
    Gather_Choose:
      for (int from = 0; from < kChunk; ++from) {
#pragma HLS UNROLL
        if (fill + from == to) bytes_.v[to] = bytes.v[from];
      }
    }
    fill_ = fill + added;
  }

  uint64_t FirstWord() const {
    uint64_t word = 0;
  First_Word:
    for (int i = 0; i < 8; ++i) {
#pragma HLS UNROLL
      word |= static_cast<uint64_t>(bytes_.v[i].to_uint()) << (8 * i);
    }
    return word;
  }

  // Bytes that do not wait are zero: they fill up a step's last word.
  void DropWord() {
  Drop_Word:
    for (int i = 0; i < kRoom; ++i) {
#pragma HLS UNROLL
      bytes_.v[i] = i + 8 < kRoom ? bytes_.v[i + 8 < kRoom ? i + 8 : 0] : ap_uint<8>(0);
    }
    fill_ = fill_ > 8 ? fill_.to_int() - 8 : 0;
  }

  bool Trailer(hls::stream<Beat> &out, hls::stream<Retired> &retired) {
    const uint64_t spent = cycle_ < packet_.begun ? 0 : cycle_ - packet_.begun;  // their clocks are apart in threads
    const uint64_t shown = spent >> 32 ? 0xFFFFFFFFu : spent;
    out.write(MakeBeat(CrcResult(crc_) | shown << 32, true));
    retired.write(1);
    return Go(kIdle);
  }

  void Put(uint64_t word, hls::stream<Beat> &out) {
    crc_ = CrcWord(crc_, word);
    out.write(MakeBeat(word, false));
  }

  // All state is zero at the start.
  uint64_t cycle_;
  State state_;
  Packet packet_;  // in hand
  uint32_t left_;  // words of the payload to come
  uint32_t crc_;
  Pack<ap_uint<8>, kRoom> bytes_;
  ap_uint<Bits(kRoom + 1)> fill_;  // bytes that wait
  bool flush_;                     // they leave even if they do not fill a word
  bool ended_;                     // the line's last score was taken
  ap_uint<10> next_label_;         // of the next score of the step
  ap_uint<8> best_label_;          // so far in the step
  ap_int<8> best_score_;
};

}  // namespace zeile
