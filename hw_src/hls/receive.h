// SPDX-License-Identifier: Apache-2.0
// The front end: takes packets apart, judges them, feeds frames to the units and messages to the configuration chain.
//
// A packet is judged when all of it has been seen; the verdict (Packet) then goes to Send, which answers in that order.
// A broken packet is dropped up to its TLAST and refused. A line whose packet ends early is filled with paper, so that
// the units always see whole lines, and refused; so is a line whose checksum, behind its last frame, is wrong. Everything but lines waits until all answers before it have left:
// configuration messages never meet a line.
#pragma once

#include "config.h"
#include "crc.h"
#include "packet.h"
#include "status.h"
#include "types.h"

namespace zeile {

template <class D>
class Receive {
 public:
  using Frames_t = Element<ap_uint<D::kPixelBits>, D::kBeatCodes>;

  static_assert(64 % D::kPixelBits == 0, "a pixel code must not straddle words: 1, 2, 4 or 8 bits");
  static_assert((64 / D::kPixelBits) % D::kBeatCodes == 0, "a word must be a whole number of beats");
  static_assert(D::kFrameCodes % D::kBeatCodes == 0, "a frame must be a whole number of beats");
  static_assert(D::kClasses <= 256 && D::kMaxFrames < (1 << 24), "a count does not fit its register");

  bool step(hls::stream<Beat> &in, hls::stream<Retired> &retired, hls::stream<Packet> &packets,
            hls::stream<Frames_t> &frames, hls::stream<Config> &config) {
#pragma HLS INLINE
    ++account_.cycles;
    if (!retired.empty()) {
      retired.read();
      --in_flight_;
    }
#pragma HLS DEPENDENCE variable = echo_ type = inter direction = RAW dependent = false  // the verdict lies between
    if (state_ == kKind) return in.empty() ? false : TakeKind(in.read());
    if (state_ == kCount) return in.empty() ? false : TakeCount(in.read());
    if (state_ == kLookUp) return LookUp();
    if (state_ == kJudge) return Judge();
    if (state_ == kFrames) return Frame(in, frames);
    if (state_ == kTrailer) return in.empty() ? false : Trailer(in.read());
    if (state_ == kQuiet) return in_flight_ == 0 ? Go(words_left_ > 0 ? kPayload : kVerdict) : false;
    if (state_ == kPayload) return in.empty() || config.full() ? false : Payload(in.read(), config);
    if (state_ == kDrop) return in.empty() ? false : Drop(in.read());
    if (state_ == kVerdict) return packets.full() ? false : Verdict(packets);
    if (state_ == kMessages) return config.full() ? false : Message(config);
    return in_flight_ == 0 ? Go(kKind) : false;  // kSettle
  }

 private:
  static constexpr int kWordBeats = 64 / D::kPixelBits / D::kBeatCodes;
  static constexpr int kFrameBeats = D::kFrameCodes / D::kBeatCodes;

  enum State { kKind, kCount, kLookUp, kJudge, kFrames, kTrailer, kQuiet, kPayload, kDrop, kVerdict, kMessages, kSettle };

  bool Go(State state) {
    state_ = state;
    return true;
  }

  void Spoil(int code, uint32_t detail) {
    packet_.kind = kError;
    packet_.count = code;
    packet_.detail = detail;
  }

  // Refuses the packet; what is left of it is dropped.
  bool Refuse(int code, uint32_t detail) {
    Spoil(code, detail);
    return Go(ended_ ? kVerdict : kDrop);
  }

  // Word 0.
  bool TakeKind(const Beat &beat) {
    const uint64_t word = beat.data.to_uint64();
    const int kind = word >> 16 & 0xFF, field = word >> 24 & 0xFF;
    ++account_.packets;
    crc_ = CrcWord(kCrcStart, word);
    ended_ = beat.last != 0;
    seen_ = 1;
    kind_ = kind;
    packet_.kind = kind;
    packet_.field = field;
    packet_.tag = word >> 32 & 0xFFFF;
    packet_.count = 0;
    packet_.detail = 0;
    packet_.classes = account_.classes;
    packet_.line = false;
    packet_.begun = account_.cycles;
    if ((word & 0xFFFF) != (kMagic | kAbi << 8)) return Refuse(kBadMagic, static_cast<uint32_t>(word));
    if (kind < kInfer || kind > kStatus || (kind == kInfer && field > 1)) return Refuse(kUnknownKind, kind);
    if (ended_) return Refuse(kShortPacket, seen_);
    return Go(kCount);
  }

  // Word 1.
  bool TakeCount(const Beat &beat) {
    const uint64_t word = beat.data.to_uint64();
    crc_ = CrcWord(crc_, word);
    ended_ = beat.last != 0;
    seen_ = 2;
    count_ = static_cast<uint32_t>(word);
    address_ = word >> 32;
    return Go(kLookUp);
  }

  // Limits in a cycle of their own: they are many comparators.
  bool LookUp() {
    found_ = false;
    const uint64_t end = (address_ & 0xFFFFFF) + static_cast<uint64_t>(count_);
  LookUp_Memories:
    for (const Memory &memory : kMemories) {
#pragma HLS UNROLL
      found_ |= packet_.field == memory.target && address_ >> 24 == static_cast<uint32_t>(memory.section) &&
                end <= static_cast<uint64_t>(memory.words);
    }
    line_too_long_ = count_ > D::kMaxFrames;
    echo_too_long_ = count_ > kEchoWords;
    return Go(kJudge);
  }

  bool Judge() {
    if (kind_ == kInfer && !account_.valid) return Refuse(kNoModel, 0);
    if (kind_ == kInfer && line_too_long_) return Refuse(kTooLong, D::kMaxFrames);
    if (kind_ == kEcho && echo_too_long_) return Refuse(kTooLong, kEchoWords);
    if ((kind_ == kLoad || kind_ == kReadBack) && !found_) return Refuse(kBadAddress, address_);
    if (kind_ == kCommit && count_ < 2) return Refuse(kShortPacket, seen_);
    if (kind_ == kCommit && count_ > 2) return Refuse(kLongPacket, seen_);
    const bool has_trailer = kind_ == kInfer || kind_ == kLoad;
    const bool has_payload = has_trailer || (count_ > 0 && kind_ != kReadBack && kind_ != kStatus);
    if (has_payload && ended_) return Refuse(kShortPacket, seen_);
    if (!has_payload && !ended_) return Refuse(kLongPacket, seen_);
    if (kind_ == kLoad) account_.valid = false;
    index_ = 0;
    words_left_ = !has_payload ? 0u : kind_ == kLoad ? count_ + 1 : count_;
    frames_left_ = count_;
    frame_beat_ = word_beat_ = 0;
    packet_.count = kind_ == kStatus ? static_cast<uint32_t>(kStatusWords) : count_;
    packet_.line = kind_ == kInfer && count_ > 0;
    return Go(kind_ != kInfer ? kQuiet : count_ > 0 ? kFrames : kTrailer);
  }

  // One beat of a frame; every kWordBeats beats, and at a frame's begin, a word.
  bool Frame(hls::stream<Beat> &in, hls::stream<Frames_t> &frames) {
    const bool needs_word = word_beat_ == 0, read = needs_word && !ended_;
    if (frames.full() || (read && in.empty())) return false;
    if (needs_word) word_ = 0;  // paper behind an early end
    const bool frame_ends = frame_beat_ == kFrameBeats - 1, line_ends = frame_ends && frames_left_ == 1;
    if (read) {
      const Beat beat = in.read();
      word_ = beat.data.to_uint64();
      crc_ = CrcWord(crc_, word_);
      ended_ = beat.last != 0;
      ++seen_;
      if (ended_) Spoil(kShortPacket, seen_);
    }
    Frames_t element;
  Frame_Codes:
    for (int i = 0; i < D::kBeatCodes; ++i) {
#pragma HLS UNROLL
      element.data.v[i] = word_ >> (i * D::kPixelBits) & ((1 << D::kPixelBits) - 1);
    }
    element.last = line_ends;
    frames.write(element);
    word_ = kWordBeats == 1 ? 0 : word_ >> (D::kBeatCodes * D::kPixelBits % 64);
    word_beat_ = frame_ends || word_beat_ == kWordBeats - 1 ? 0 : word_beat_.to_int() + 1;
    frame_beat_ = frame_ends ? 0 : frame_beat_.to_int() + 1;
    if (frame_ends) --frames_left_;
    return line_ends ? Go(ended_ ? kVerdict : kTrailer) : true;
  }

  // The word behind the frames of a line.
  bool Trailer(const Beat &beat) {
    ended_ = beat.last != 0;
    ++seen_;
    if (!ended_) return Refuse(kLongPacket, seen_);
    if (static_cast<uint32_t>(beat.data.to_uint64()) != CrcResult(crc_)) return Refuse(kCrcMismatch, CrcResult(crc_));
    return Go(kVerdict);
  }

  // One word behind the header of LOAD, COMMIT or ECHO.
  bool Payload(const Beat &beat, hls::stream<Config> &config) {
    const uint64_t word = beat.data.to_uint64();
    const bool last_word = words_left_ == 1, trailer = kind_ == kLoad && last_word;
    ended_ = beat.last != 0;
    ++seen_;
    --words_left_;
    if (kind_ == kLoad && !trailer) {
      crc_ = CrcWord(crc_, word);
      config.write(MakeConfig(kWrite, packet_.field, address_ + index_, word));
    }
    if (kind_ == kEcho) echo_[index_ % kEchoWords] = word;
    if (kind_ == kCommit && index_ == 0) new_classes_ = word & 0xFFFF;
    if (kind_ == kCommit && index_ == 1) new_model_id_ = word;
    ++index_;
    if (ended_ != last_word) return Refuse(ended_ ? kShortPacket : kLongPacket, seen_);
    if (trailer && static_cast<uint32_t>(word) != CrcResult(crc_)) return Refuse(kCrcMismatch, CrcResult(crc_));
    if (kind_ == kCommit && last_word && (new_classes_ < 2 || new_classes_ > D::kClasses)) {
      return Refuse(kBadClasses, new_classes_);
    }
    return last_word ? Go(kVerdict) : true;
  }

  bool Drop(const Beat &beat) {
    ended_ = beat.last != 0;
    return ended_ ? Go(kVerdict) : true;
  }

  // The verdict goes first: Send must take the messages while they come.
  bool Verdict(hls::stream<Packet> &packets) {
    packets.write(packet_);
    ++in_flight_;
    const bool good = packet_.kind != kError;
    if (!good) ++account_.errors;
    if (good && kind_ == kInfer) ++account_.lines;
    if (good && kind_ == kCommit) {
      account_.valid = true;
      account_.classes = new_classes_;
      account_.model_id = new_model_id_;
    }
    index_ = 0;
    words_left_ = kind_ == kLoad ? 1u : kind_ == kCommit ? 2u : packet_.count.to_uint();
    return Go(!good || kind_ == kInfer ? kKind : words_left_ > 0 ? kMessages : kSettle);
  }

  // LOAD and COMMIT end with a message that Send waits for: behind it every word has reached its unit.
  bool Message(hls::stream<Config> &config) {
    Config message = MakeConfig(kData, 0, 0, 0);
    if (kind_ == kCommit && index_ == 0) message = MakeConfig(kWrite, D::kDenseLayer, kControl << 24, account_.classes);
    if (kind_ == kReadBack) message = MakeConfig(kRead, packet_.field, address_ + index_, 0);
    if (kind_ == kEcho) message.data = echo_[index_ % kEchoWords];
    if (kind_ == kStatus) message = StatusMessage<D>(index_, account_);
    config.write(message);
    ++index_;
    --words_left_;
    return words_left_ == 0 ? Go(kSettle) : true;
  }

  // All state is zero after reset.
  State state_;
  Account account_;
  ap_uint<6> in_flight_;  // verdicts given, answers not yet left
  // The packet in hand.
  Packet packet_;                               // what Send will be told
  ap_uint<8> kind_;                             // as asked, also when refused
  uint32_t count_, address_;                    // of word 1
  uint32_t crc_, seen_;                         // of the words seen, and their number
  uint32_t index_, words_left_;                 // of the payload: the next word, and how many are to come
  bool ended_;                                  // its TLAST was seen
  bool found_, line_too_long_, echo_too_long_;  // limits
  uint32_t frames_left_;                        // of a line
  ap_uint<Bits(kFrameBeats + 1)> frame_beat_;
  ap_uint<Bits(kWordBeats + 1)> word_beat_;
  uint64_t word_;              // codes still to be cut off
  uint64_t echo_[kEchoWords];  // payloads until they are judged
  uint32_t new_classes_;
  uint64_t new_model_id_;
};

}  // namespace zeile
