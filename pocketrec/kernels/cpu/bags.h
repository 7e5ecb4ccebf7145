// Which ids belong to which bag. With offsets `indices` is (N,), feature-major; without, (B, F), one id a bag, or
// (B, F, K), K of them.
#pragma once
#include <algorithm>
#include <cstdint>

#include "row.h"
#include "slots.h"

namespace pocketrec {

template <class T>
struct Bags {
  const int64_t* indices;
  const int64_t* offsets;  // null: `each` ids a bag
  const OutOf<T>* weights;  // null: all ones
  const Feature* features;
  int64_t num_ids, num_samples, num_features, width, each;

  int64_t begin(int64_t sample, int64_t feature) const {
    return offsets ? offsets[feature * num_samples + sample] : (sample * num_features + feature) * each;
  }
  int64_t end(int64_t sample, int64_t feature) const {
    return offsets ? offsets[feature * num_samples + sample + 1] : (sample * num_features + feature + 1) * each;
  }
  SumOf<T> weight(int64_t position) const {
    return weights ? static_cast<SumOf<T>>(weights[position]) : SumOf<T>(1);
  }

  int64_t longest_row() const {
    int64_t longest = 0;
    for (int64_t j = 0; j < num_features; ++j) longest = std::max(longest, features[j].dim);
    return longest;
  }

  // The ids that count, and that the mean divides by: all but padding.
  int64_t count(const Feature& f, int64_t first, int64_t last) const {
    if (f.padding < 0) return last - first;
    int64_t kept = 0;
    for (int64_t i = first; i < last; ++i) kept += indices[i] != f.padding;
    return kept;
  }

  // What each id of a sum or mean bag is multiplied by, weights apart.
  SumOf<T> pool_factor(const Feature& f, int64_t kept) const {
    return f.mode == kMean && kept ? SumOf<T>(1) / SumOf<T>(kept) : SumOf<T>(1);
  }
};

}  // namespace pocketrec
