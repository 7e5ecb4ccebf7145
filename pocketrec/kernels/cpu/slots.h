// What a slot may hold, what sums of it are kept in, and what a lookup gives out.
#pragma once
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include <cstdint>

namespace pocketrec {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

template <class T> struct SlotTraits { using Sum = T; using Out = T; };
template <> struct SlotTraits<BFloat16> { using Sum = float; using Out = BFloat16; };  // rounded once, at the end
template <> struct SlotTraits<Half> { using Sum = float; using Out = Half; };
template <> struct SlotTraits<int8_t> { using Sum = float; using Out = float; };
template <class T> using SumOf = typename SlotTraits<T>::Sum;
template <class T> using OutOf = typename SlotTraits<T>::Out;

constexpr int64_t kScaleBlock = 64;  // slots of int8 that share a scale; pocketrec/ops/quantize.py says the same

template <class T>
struct Memory {
  const T* slots;
  const float* scales;  // int8 only: slot s is worth slots[s] * scales[s / kScaleBlock]

  // Calls body(i, value) for the n slots from `slot` on.
  template <class Length, class Body>
  void read(int64_t slot, Length n, const Body& body) const {
    if constexpr (std::is_same_v<T, int8_t>) {
      for (int64_t i = 0; i < n;) {
        const float scale = scales[(slot + i) / kScaleBlock];
        const int64_t end = std::min<int64_t>(n, (slot + i) / kScaleBlock * kScaleBlock + kScaleBlock - slot);
        for (; i < end; ++i) body(i, static_cast<float>(slots[slot + i]) * scale);
      }
    } else {
      const T* __restrict from = slots + slot;
      for (int64_t i = 0; i < n; ++i) body(i, static_cast<SumOf<T>>(from[i]));
    }
  }
};

// The loops every kernel spends its time in, on their own so that compilers see that nothing overlaps.
template <class To, class From, class Length>
inline void add_scaled(To* __restrict to, const From* __restrict from, Length n, To factor) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * static_cast<To>(from[i]);
}

}  // namespace pocketrec
