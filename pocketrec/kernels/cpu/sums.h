// What a batch's gradient adds up to in a stretch of slots, and which blocks of it it reaches: an optimiser under which other
// slots stay as they are passes over the rest. (Sums of a whole memory, where runs come in tiles, are zeroed whole.)
#pragma once
#include <algorithm>
#include <cstdint>

namespace pocketrec {

constexpr int64_t kBinBits = 14, kBinSlots = 1 << kBinBits;  // slots worked on at once: 64 KB of float32, which the second cache holds
constexpr int64_t kTouchBlock = 128;    // slots that a flag speaks for

template <class S>
struct Sums {
  int64_t first, last;  // slots
  S* values;            // of slot `first` and the following ones
  uint8_t* touched;     // a flag a block, from `first` on; null: all count as touched

  void touch(int64_t offset, int64_t length) const {
    if (!touched) return;
    for (int64_t b = offset / kTouchBlock; b <= (offset + length - 1) / kTouchBlock; ++b) touched[b] = 1;
  }

  // Calls body(offset, end) for every block, or for those only that are touched.
  template <class Body>
  void for_each_block(bool only_touched, const Body& body) const {
    for (int64_t offset = 0; offset < last - first; offset += kTouchBlock) {
      if (only_touched && touched && !touched[offset / kTouchBlock]) continue;
      body(offset, std::min(offset + kTouchBlock, last - first));
    }
  }

  // Zeros again, at the cost of what was touched.
  void clear() const {
    for_each_block(true, [&](int64_t offset, int64_t end) {
      std::fill(values + offset, values + end, S(0));
      if (touched) touched[offset / kTouchBlock] = 0;
    });
  }
};

}  // namespace pocketrec
