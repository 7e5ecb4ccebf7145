// What a slot may hold, what sums of it are kept in, and what a lookup gives out.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace pocketrec {

template <class T> struct SlotTraits { using Sum = T; using Out = T; };
template <> struct SlotTraits<int8_t> { using Sum = float; using Out = float; };
template <class T> using SumOf = typename SlotTraits<T>::Sum;
template <class T> using OutOf = typename SlotTraits<T>::Out;

constexpr int64_t kScaleBlock = 64;  // slots of int8 that share a scale; SCALE_BLOCK in pocketrec/ops/layout.py is the same

// The loops every kernel spends its time in, functions of their own: without the promise that nothing overlaps, compilers
// add one number at a time.
template <class To, class From, class Length>
inline void add_scaled(To* __restrict to, const From* __restrict from, Length n, To factor) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * static_cast<To>(from[i]);
}
template <class Length>
inline void add_scaled(float* __restrict to, const int8_t* __restrict from, Length n, float factor, float scale) {
  for (int64_t i = 0; i < n; ++i) to[i] += factor * (scale * static_cast<float>(from[i]));
}
template <class To, class From, class Length>
inline void set_scaled(To* __restrict to, const From* __restrict from, Length n, To factor) {
  for (int64_t i = 0; i < n; ++i) to[i] = factor * static_cast<To>(from[i]);
}
template <class Length>
inline void set_scaled(float* __restrict to, const int8_t* __restrict from, Length n, float factor, float scale) {
  for (int64_t i = 0; i < n; ++i) to[i] = factor * (scale * static_cast<float>(from[i]));
}

template <class T>
struct Memory {
  const T* slots;
  const float* scales;  // int8 only: slot s is worth slots[s] * scales[s / kScaleBlock]

  // Calls body(offset, length, scale) for the n slots from `slot` on, stretch by stretch of one scale.
  template <class Length, class Body>
  void for_each_scale(int64_t slot, Length n, const Body& body) const {
    if constexpr (std::is_same_v<T, int8_t>) {
      for (int64_t i = 0; i < n;) {
        const int64_t block = (slot + i) / kScaleBlock, length = std::min<int64_t>(n - i, (block + 1) * kScaleBlock - slot - i);
        body(i, length, scales[block]);
        i += length;
      }
    } else {
      body(0, n, SumOf<T>(1));
    }
  }

  // to[i] = (kSet) or += (not kSet) factor * what slot + i is worth, for n slots.
  template <bool kSet, class Length>
  void accumulate(int64_t slot, Length n, SumOf<T> factor, SumOf<T>* to) const {
    if constexpr (std::is_same_v<T, int8_t>) {
      // What the slot is worth first, then the factor: as it is trained, to the last bit.
      for_each_scale(slot, n, [&](int64_t i, auto length, float scale) {
        if constexpr (kSet) set_scaled(to + i, slots + slot + i, length, factor, scale);
        else add_scaled(to + i, slots + slot + i, length, factor, scale);
      });
    } else {
      if constexpr (kSet) set_scaled(to, slots + slot, n, factor);
      else add_scaled(to, slots + slot, n, factor);
    }
  }

  // Calls body(i, value) for the n slots from `slot` on.
  template <class Length, class Body>
  void read(int64_t slot, Length n, const Body& body) const {
    for_each_scale(slot, n, [&](int64_t first, auto length, SumOf<T> scale) {
      for (int64_t i = first; i < first + length; ++i) body(i, static_cast<SumOf<T>>(slots[slot + i]) * scale);
    });
  }
};

}  // namespace pocketrec
