// The gradients of forward.h: to the memory, to the per-sample weights, and to each id's own row (full tables).
#pragma once
#include "forward.h"

namespace pocketrec {

// Adds the whole batch's gradient to the slots in [first_slot, last_slot). Tasks own disjoint slots and walk the batch in
// the same order, so every slot's sum has one order: the same bits for any number of tasks, and no private copies.
template <class T>
struct SlotRange {
  T* grad_memory;
  int64_t first_slot, last_slot;

  void add(const Feature& f, int64_t id, T factor, const T* grad) const {
    for_each_piece(f, id, [&](const Piece& p, const Signs& signs) {
      const int64_t lo = std::max(p.slot, first_slot), hi = std::min(p.slot + p.length, last_slot);
      const T* from = grad + p.element - p.slot;
      if (f.sign == kUnsigned) {
        for (int64_t s = lo; s < hi; ++s) grad_memory[s] += factor * from[s];
      } else {
        for (int64_t s = lo; s < hi; ++s) grad_memory[s] += factor * signs(p.element + s - p.slot) * from[s];
      }
    });
  }

  // The maximum's gradient goes to the row that won each element.
  void add_winners(const Bags<T>& bags, const Feature& f, const int64_t* winner, int64_t position, const T* grad) const {
    for_each_piece(f, bags.indices[position], [&](const Piece& p, const Signs& signs) {
      const int64_t lo = std::max(p.slot, first_slot), hi = std::min(p.slot + p.length, last_slot);
      for (int64_t s = lo; s < hi; ++s) {
        const int64_t e = p.element + s - p.slot;
        if (winner[e] == position) grad_memory[s] += signs(e) * grad[e];
      }
    });
  }
};

template <class T>
void backward(const Bags<T>& bags, const T* memory, const T* grad, const SlotRange<T>& slots) {
  std::vector<T> best(bags.width);
  std::vector<int64_t> winner(bags.width);
  for (int64_t b = 0; b < bags.num_samples; ++b) {
    for (int64_t j = 0; j < bags.num_features; ++j) {
      const Feature& f = bags.features[j];
      const int64_t first = bags.begin(b, j), last = bags.end(b, j);
      const T* from = grad + b * bags.width + f.column;
      if (f.mode == kMax) max_bag(bags, f, memory, first, last, best.data(), winner.data());
      const T pool = bags.pool_factor(f, first, last);
      for (int64_t i = first; i < last; ++i) {
        if (bags.indices[i] == f.padding) continue;
        if (f.mode == kMax) {
          slots.add_winners(bags, f, winner.data(), i, from);
        } else {
          slots.add(f, bags.indices[i], pool * bags.weight(i), from);
        }
      }
    }
  }
}

// grad_rows[i] = the gradient of id i's own row, whatever memory it lies in.
template <class T>
void backward_rows(const Bags<T>& bags, const T* memory, const T* grad, int64_t first_sample, int64_t last_sample, T* grad_rows) {
  std::vector<T> best(bags.width);
  std::vector<int64_t> winner(bags.width);
  for (int64_t b = first_sample; b < last_sample; ++b) {
    for (int64_t j = 0; j < bags.num_features; ++j) {
      const Feature& f = bags.features[j];
      const int64_t first = bags.begin(b, j), last = bags.end(b, j);
      const T* from = grad + b * bags.width + f.column;
      if (f.mode == kMax) max_bag(bags, f, memory, first, last, best.data(), winner.data());
      const T pool = bags.pool_factor(f, first, last);
      for (int64_t i = first; i < last; ++i) {
        const T factor = bags.indices[i] == f.padding ? T(0) : pool * bags.weight(i);
        T* to = grad_rows + i * f.dim;
        for (int64_t e = 0; e < f.dim; ++e) to[e] = f.mode == kMax && winner[e] != i ? T(0) : factor * from[e];
      }
    }
  }
}

// grad_weights[i] = <grad of id i's bag, row of id i>.
template <class T>
void backward_weights(const Bags<T>& bags, const T* memory, const T* grad, int64_t first_sample, int64_t last_sample, T* grad_weights) {
  std::vector<T> row(bags.width);
  for (int64_t b = first_sample; b < last_sample; ++b) {
    for (int64_t j = 0; j < bags.num_features; ++j) {
      const Feature& f = bags.features[j];
      const T* from = grad + b * bags.width + f.column;
      for (int64_t i = bags.begin(b, j); i < bags.end(b, j); ++i) {
        grad_weights[i] = T(0);
        if (bags.indices[i] == f.padding) continue;
        copy_row(f, memory, bags.indices[i], row.data());
        for (int64_t e = 0; e < f.dim; ++e) grad_weights[i] += row[e] * from[e];
      }
    }
  }
}

}  // namespace pocketrec
