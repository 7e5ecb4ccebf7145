// A batch's gradient, row by row: for each id that counts, the gradient of its bag and what it is multiplied by.
#pragma once
#include <algorithm>

#include "bags.h"

namespace pocketrec {

template <class T>
struct RowGradient {
  const Feature* feature;  // null: the id adds nothing
  int64_t id;
  const OutOf<T>* grad;
  SumOf<T> factor;
};

template <class T>
struct Gradient {
  const Bags<T>& bags;
  const OutOf<T>* grad;  // (B, width)

  // Calls body(position, row) for ids [first, last), in order. Maxima go another way (maximum.h): their rows add nothing.
  template <class Body>
  void for_each_row(int64_t first, int64_t last, const Body& body) const {
    if (first == last) return;
    int64_t bag = bag_of(first);
    int64_t feature = bags.offsets ? bag / bags.num_samples : bag % bags.num_features;
    int64_t sample = bags.offsets ? bag % bags.num_samples : bag / bags.num_features;
    SumOf<T> pool = pool_factor(sample, feature);
    for (int64_t i = first; i < last; ++i) {
      while (bags.end(sample, feature) <= i) {
        bags.offsets ? next(sample, bags.num_samples, feature) : next(feature, bags.num_features, sample);
        pool = pool_factor(sample, feature);
      }
      const Feature& f = bags.features[feature];
      const bool counts = f.mode != kMax && bags.indices[i] != f.padding;
      body(i, RowGradient<T>{counts ? &f : nullptr, bags.indices[i], grad + sample * bags.width + f.column, pool * bags.weight(i)});
    }
  }

 private:
  int64_t bag_of(int64_t position) const {
    if (!bags.offsets) return position / bags.each;
    const int64_t* end = bags.offsets + bags.num_samples * bags.num_features + 1;
    return std::upper_bound(bags.offsets, end, position) - bags.offsets - 1;
  }

  static void next(int64_t& inner, int64_t count, int64_t& outer) {
    if (++inner == count) inner = 0, ++outer;
  }

  SumOf<T> pool_factor(int64_t sample, int64_t feature) const {
    const Feature& f = bags.features[feature];
    return f.mode == kMean ? bags.pool_factor(f, bags.count(f, bags.begin(sample, feature), bags.end(sample, feature))) : SumOf<T>(1);
  }
};

}  // namespace pocketrec
