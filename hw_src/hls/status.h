// SPDX-License-Identifier: Apache-2.0
// What the core tells about itself: the payload of a STATUS packet. app/zeile/hw/packets.py, Status, is the other side.
#pragma once

#include "config.h"
#include "packet.h"
#include "types.h"

namespace zeile {

// What Receive counts, and the model that is loaded. All zero after reset.
struct Account {
  uint64_t cycles;
  uint64_t lines, packets, errors;  // lines answered; packets in; packets refused
  uint64_t model_id;
  uint32_t classes;  // K
  bool valid;        // a model is loaded
};

inline Config MakeConfig(int op, int target, uint32_t address, uint64_t data) {
#pragma HLS INLINE
  Config config;
  config.op = op;
  config.target = target;
  config.address = address;
  config.data = data;
  return config;
}

// Word `index` of the answer: data for Send, or, for words 4 to 9, a read request for a counter of the recurrent layer
// (issued, starved, stalled; forward and backward in turn).
template <class D>
Config StatusMessage(uint32_t index, const Account &account) {
#pragma HLS INLINE
  const uint32_t direction = index % 2, counter = 1 + (index - 4) / 2;
  if (index >= 4 && index < 10 && direction < D::kDirections) {
    return MakeConfig(kRead, D::kLstmLayer, (8 * direction + kControl) << 24 | counter, 0);
  }
  const uint64_t shape = kAbi | D::kClasses << 16 | static_cast<uint64_t>(D::kMaxColumns) << 32;
  const uint64_t word = index == 0    ? D::kId
                        : index == 1  ? shape
                        : index == 2  ? account.cycles
                        : index == 3  ? account.valid ? account.model_id : 0
                        : index == 10 ? account.lines
                        : index == 11 ? account.packets
                        : index == 12 ? account.errors
                        : index == 14 ? D::kRingSteps  // 13: lines in flight, none now
                        : index == 15 ? account.valid
                                      : 0;
  return MakeConfig(kData, 0, 0, word);
}

}  // namespace zeile
