// The gradients an id has for itself: to its own row (full tables), and to its weight.
#pragma once
#include <vector>

#include "bags.h"
#include "maximum.h"

namespace pocketrec {

// grad_rows[i] = the gradient of id i's own row, whatever memory it lies in.
template <class T>
void backward_rows(const Bags<T>& bags, const Memory<T>& memory, const OutOf<T>* grad, int64_t first_sample, int64_t last_sample, T* grad_rows) {
  Maximum<T> maximum(bags.longest_row());
  for (int64_t b = first_sample; b < last_sample; ++b) {
    for (int64_t j = 0; j < bags.num_features; ++j) {
      const Feature& f = bags.features[j];
      const int64_t first = bags.begin(b, j), last = bags.end(b, j);
      const OutOf<T>* from = grad + b * bags.width + f.column;
      if (f.mode == kMax) maximum.of_bag(bags, f, memory, first, last);
      const SumOf<T> pool = bags.pool_factor(f, f.mode == kMean ? bags.count(f, first, last) : 1);
      for (int64_t i = first; i < last; ++i) {
        const SumOf<T> factor = bags.indices[i] == f.padding ? SumOf<T>(0) : pool * bags.weight(i);
        T* to = grad_rows + i * f.dim;
        for (int64_t e = 0; e < f.dim; ++e) {
          const bool lost = f.mode == kMax && maximum.winners()[e] != i;
          to[e] = lost ? T(0) : static_cast<T>(factor * static_cast<SumOf<T>>(from[e]));
        }
      }
    }
  }
}

// grad_weights[i] = <grad of id i's bag, row of id i>.
template <class T>
void backward_weights(const Bags<T>& bags, const Memory<T>& memory, const OutOf<T>* grad, int64_t first_sample, int64_t last_sample, OutOf<T>* grad_weights) {
  std::vector<Start> starts;
  for (int64_t b = first_sample; b < last_sample; ++b) {
    for (int64_t j = 0; j < bags.num_features; ++j) {
      const Feature& f = bags.features[j];
      const OutOf<T>* from = grad + b * bags.width + f.column;
      starts.resize(f.num_chunks());
      for (int64_t i = bags.begin(b, j); i < bags.end(b, j); ++i) {
        SumOf<T> product = 0;
        if (bags.indices[i] != f.padding) {
          hash_chunks(f, bags.indices[i], 0, f.num_chunks(), starts.data());
          for_each_run(f, bags.indices[i], starts.data(), 0, f.dim, [&](int64_t element, int64_t slot, auto n, bool negated) {
            SumOf<T> part = 0;
            memory.read(slot, n, [&](int64_t k, SumOf<T> value) { part += value * static_cast<SumOf<T>>(from[element + k]); });
            product += negated ? -part : part;
          });
        }
        grad_weights[i] = static_cast<OutOf<T>>(product);
      }
    }
  }
}

}  // namespace pocketrec
