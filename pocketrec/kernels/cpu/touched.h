// Which blocks of the memory a batch's gradient reaches: an optimiser under which other slots stay as they are passes
// over the rest, so that a step costs what the batch is worth, however large the memory.
#pragma once
#include <algorithm>
#include <cstdint>

namespace pocketrec {

constexpr int64_t kTouchBlock = 128;  // slots that a flag speaks for

struct Touched {
  uint8_t* flags;  // null: nobody asks

  void mark(int64_t slot, int64_t length) const {
    if (!flags) return;
    for (int64_t b = slot / kTouchBlock; b <= (slot + length - 1) / kTouchBlock; ++b) flags[b] = 1;
  }
  void mark_all(int64_t num_slots) const {
    if (flags) std::fill_n(flags, (num_slots + kTouchBlock - 1) / kTouchBlock, uint8_t(1));
  }
};

}  // namespace pocketrec
