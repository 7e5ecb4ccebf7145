// Whether ids, offsets, layout and memory fit together, so that no kernel leaves its arrays. Python says what does not.
#pragma once
#include <cstdint>

#include "bags.h"

namespace pocketrec {

// Every start and every run of the feature lies in its region, and its region in the memory.
inline bool feature_is_sound(const Feature& f, int64_t num_slots) {
  const bool known = f.rule >= kDirect && f.rule <= kLinear && f.mode >= kSum && f.mode <= kMax && f.sign >= kUnsigned && f.sign <= kPerElement;
  const int64_t limit = int64_t(1) << 31;
  const auto positive = [&](int64_t size) { return size >= 1 && size < limit; };
  if (!known || !positive(f.dim) || !positive(f.chunk) || !positive(f.align) || f.places < 1 || f.num_embeddings < 0) return false;
  if (f.span < std::min(f.chunk, f.dim) || f.base < 0 || f.span > num_slots || f.base > num_slots - f.span) return false;
  if (f.places - 1 > (f.span - 1) / f.align) return false;
  if (f.exact < 0 || f.exact_base < 0 || f.exact_base > f.base || f.exact > (f.base - f.exact_base) / f.dim) return false;
  return f.rule == kDirect ? f.num_embeddings <= f.places : f.places < limit;
}

template <class T>
bool layout_is_sound(const Bags<T>& bags, int64_t num_slots, bool weighted) {
  int64_t column = 0;
  for (int64_t j = 0; j < bags.num_features; ++j) {
    const Feature& f = bags.features[j];
    if (!feature_is_sound(f, num_slots) || f.column != column || (weighted && f.mode != kSum)) return false;
    column += f.dim;
  }
  return column == bags.width;
}

// Offsets [first, last) do not fall below their predecessors.
template <class T>
bool offsets_rise(const Bags<T>& bags, int64_t first, int64_t last) {
  bool rising = true;
  for (int64_t i = first; i < last; ++i) rising &= bags.offsets[i] >= bags.offsets[i - 1];
  return rising;
}

// All ids of samples [first, last) lie in their tables, or are padding.
template <class T>
bool ids_are_inside(const Bags<T>& bags, int64_t first, int64_t last) {
  bool inside = true;
  for (int64_t b = first; b < last; ++b) {
    for (int64_t j = 0; j < bags.num_features; ++j) {
      const Feature& f = bags.features[j];
      for (int64_t i = bags.begin(b, j); i < bags.end(b, j); ++i) {
        const int64_t id = bags.indices[i];
        inside &= (id >= 0) & ((id < f.num_embeddings) | (id == f.padding));
      }
    }
  }
  return inside;
}

}  // namespace pocketrec
