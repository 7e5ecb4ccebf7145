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
    int64_t bag = bag_of(first), pooled = -1;
    SumOf<T> pool = 1;
    for (int64_t i = first; i < last; ++i) {
      if (!bags.offsets) bag = i;
      else while (bags.offsets[bag + 1] <= i) ++bag;
      const int64_t feature = bags.offsets ? bag / bags.num_samples : bag % bags.num_features;
      const int64_t sample = bags.offsets ? bag % bags.num_samples : bag / bags.num_features;
      const Feature& f = bags.features[feature];
      RowGradient<T> row{nullptr, bags.indices[i], grad + sample * bags.width + f.column, 1};
      if (f.mode != kMax && row.id != f.padding) {
        if (pooled != bag) {
          pool = f.mode == kMean ? bags.pool_factor(f, bags.count(f, bags.begin(sample, feature), bags.end(sample, feature))) : 1;
          pooled = bag;
        }
        row.feature = &f;
        row.factor = pool * bags.weight(i);
      }
      body(i, row);
    }
  }

 private:
  int64_t bag_of(int64_t position) const {
    if (!bags.offsets) return position;
    const int64_t* end = bags.offsets + bags.num_samples * bags.num_features + 1;
    return std::upper_bound(bags.offsets, end, position) - bags.offsets - 1;
  }
};

}  // namespace pocketrec
