// out[b, columns of f] = pool over the bag's ids of weight * row.
#pragma once
#include <cstring>
#include <limits>

#include "bags.h"

namespace pocketrec {

template <class T>
inline void copy_row(const Feature& f, const T* memory, int64_t id, T* out) {
  for_each_piece(f, id, [&](const Piece& p, const Signs& signs) {
    const T* from = memory + p.slot;
    T* to = out + p.element;
    if (f.sign == kUnsigned) {
      for (int64_t i = 0; i < p.length; ++i) to[i] = from[i];
    } else {
      for (int64_t i = 0; i < p.length; ++i) to[i] = signs(p.element + i) * from[i];
    }
  });
}

template <class T>
inline void add_row(const Feature& f, const T* memory, int64_t id, T factor, T* out) {
  for_each_piece(f, id, [&](const Piece& p, const Signs& signs) {
    const T* from = memory + p.slot;
    T* to = out + p.element;
    if (f.sign == kUnsigned) {
      for (int64_t i = 0; i < p.length; ++i) to[i] += factor * from[i];
    } else {
      for (int64_t i = 0; i < p.length; ++i) to[i] += factor * signs(p.element + i) * from[i];
    }
  });
}

// Keeps the running maximum of a bag in `out` and which id gave it: the first of ties, and NaN wins, as in torch.
template <class T>
inline void max_row(const Feature& f, const T* memory, int64_t position, int64_t id, T* out, int64_t* winner) {
  for_each_piece(f, id, [&](const Piece& p, const Signs& signs) {
    for (int64_t i = 0; i < p.length; ++i) {
      const int64_t e = p.element + i;
      const T value = signs(e) * memory[p.slot + i];
      const bool held_nan = out[e] != out[e];
      if (winner[e] < 0 || (!held_nan && !(value <= out[e]))) {
        out[e] = value;
        winner[e] = position;
      }
    }
  });
}

template <class T>
inline void max_bag(const Bags<T>& bags, const Feature& f, const T* memory, int64_t first, int64_t last, T* out, int64_t* winner) {
  std::fill(out, out + f.dim, T(0));
  std::fill(winner, winner + f.dim, int64_t(-1));
  for (int64_t i = first; i < last; ++i)
    if (bags.indices[i] != f.padding) max_row(f, memory, i, bags.indices[i], out, winner);
}

template <class T>
inline void forward_bag(const Bags<T>& bags, const Feature& f, const T* memory, int64_t first, int64_t last, T* out) {
  const bool single = last - first == 1 && bags.indices[first] != f.padding && !bags.weights;
  if (single) return copy_row(f, memory, bags.indices[first], out);
  std::fill(out, out + f.dim, T(0));
  const T pool = bags.pool_factor(f, first, last);
  for (int64_t i = first; i < last; ++i)
    if (bags.indices[i] != f.padding) add_row(f, memory, bags.indices[i], pool * bags.weight(i), out);
}

template <class T>
void forward(const Bags<T>& bags, const T* memory, int64_t first_sample, int64_t last_sample, T* out) {
  std::vector<int64_t> winner(bags.width);
  for (int64_t b = first_sample; b < last_sample; ++b) {
    for (int64_t j = 0; j < bags.num_features; ++j) {
      const Feature& f = bags.features[j];
      const int64_t first = bags.begin(b, j), last = bags.end(b, j);
      T* to = out + b * bags.width + f.column;
      if (f.mode == kMax) {
        max_bag(bags, f, memory, first, last, to, winner.data());
      } else {
        forward_bag(bags, f, memory, first, last, to);
      }
    }
  }
}

}  // namespace pocketrec
