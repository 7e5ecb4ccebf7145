// The maximum over a bag, and which id won each element: the first of ties, and NaN wins, as in torch.
#pragma once
#include <vector>

#include "gradient.h"

namespace pocketrec {

template <class T>
class Maximum {
 public:
  explicit Maximum(int64_t longest_row) : values_(longest_row), winners_(longest_row) {}

  const SumOf<T>* values() const { return values_.data(); }
  // Positions in `indices`; -1 where a bag has no id that counts.
  const int64_t* winners() const { return winners_.data(); }

  void of_bag(const Bags<T>& bags, const Feature& f, const Memory<T>& memory, int64_t first, int64_t last) {
    std::fill_n(values_.begin(), f.dim, SumOf<T>(0));
    std::fill_n(winners_.begin(), f.dim, int64_t(-1));
    starts_.resize(f.num_chunks());
    for (int64_t i = first; i < last; ++i)
      if (bags.indices[i] != f.padding) enter(f, memory, i, bags.indices[i]);
  }

 private:
  void enter(const Feature& f, const Memory<T>& memory, int64_t position, int64_t id) {
    hash_chunks(f, id, 0, f.num_chunks(), starts_.data());
    for_each_run(f, id, starts_.data(), 0, f.dim, [&](int64_t element, int64_t slot, auto n, bool negated) {
      memory.read(slot, n, [&](int64_t i, SumOf<T> value) {
        if (negated) value = -value;
        SumOf<T>& best = values_[element + i];
        int64_t& winner = winners_[element + i];
        const bool held_nan = best != best;
        if (winner < 0 || (!held_nan && !(value <= best))) {
          best = value;
          winner = position;
        }
      });
    });
  }

  std::vector<SumOf<T>> values_;
  std::vector<int64_t> winners_;
  std::vector<Start> starts_;
};

// The gradient of all bags that take the maximum, added to slots [lo, hi): each element's goes to the row that won it.
template <class T>
void add_maxima(const Gradient<T>& gradient, const Memory<T>& memory, int64_t lo, int64_t hi, SumOf<T>* sums) {
  const Bags<T>& bags = gradient.bags;
  Maximum<T> maximum(bags.longest_row());
  std::vector<Start> starts;
  for (int64_t j = 0; j < bags.num_features; ++j) {
    const Feature& f = bags.features[j];
    if (f.mode != kMax) continue;
    starts.resize(f.num_chunks());
    for (int64_t b = 0; b < bags.num_samples; ++b) {
      const int64_t first = bags.begin(b, j), last = bags.end(b, j);
      maximum.of_bag(bags, f, memory, first, last);
      const OutOf<T>* grad = gradient.grad + b * bags.width + f.column;
      for (int64_t i = first; i < last; ++i) {
        if (bags.indices[i] == f.padding) continue;
        hash_chunks(f, bags.indices[i], 0, f.num_chunks(), starts.data());
        for_each_run(f, bags.indices[i], starts.data(), 0, f.dim, [&](int64_t element, int64_t slot, int64_t n, bool negated) {
          for (int64_t k = std::max(lo - slot, int64_t(0)); k < std::min(n, hi - slot); ++k) {
            if (maximum.winners()[element + k] != i) continue;
            const SumOf<T> g = static_cast<SumOf<T>>(grad[element + k]);
            sums[slot + k] += negated ? -g : g;
          }
        });
      }
    }
  }
}

}  // namespace pocketrec
