// out[b, columns of f] = pool over the bag's ids of weight * row.
//
// Sums are kept in the output itself where it can hold them and stays in the caches; else in `sum_`, which holds the
// longest row, and rounded once.
#pragma once
#include <cstring>
#include <vector>

#include "bags.h"
#include "maximum.h"
#include "ring.h"

namespace pocketrec {

constexpr int64_t kStreamed = 16;  // runs shorter than this are gathered before they are streamed

template <class T>
class Forward {
 public:
  using Sum = SumOf<T>;
  using Out = OutOf<T>;

  Forward(const Bags<T>& bags, const Memory<T>& memory, Out* out, bool stream)
      : bags_(bags), memory_(memory), out_(out), stream_(stream), sum_(bags.longest_row()), maximum_(bags.longest_row()), ring_(memory.slots) {}

  void samples(int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b)
      for (int64_t j = 0; j < bags_.num_features; ++j) bag(bags_.features[j], bags_.begin(b, j), bags_.end(b, j), out_ + b * bags_.width);
    ring_.drain([&](const auto& segment) { read(segment); });
    if (stream_) stream_fence();
  }

 private:
  // Where a row goes.
  struct Target {
    Sum factor;
    bool first, last;  // of its bag
    Out* out;
  };
  using Row = Segment<Target>;

  void bag(const Feature& f, int64_t first, int64_t last, Out* sample) {
    Out* out = sample + f.column;
    if (f.mode == kMax) {
      maximum_.of_bag(bags_, f, memory_, first, last);
      return emit(maximum_.values(), out, f.dim);
    }
    int64_t left = bags_.count(f, first, last);
    if (left == 0) return std::fill(out, out + f.dim, Out(0));
    const Sum pool = bags_.pool_factor(f, left);
    bool first_row = true;
    for (int64_t i = first; i < last; ++i) {
      if (bags_.indices[i] == f.padding) continue;
      --left;
      const Target target{pool * bags_.weight(i), first_row, left == 0, out};
      ring_.enter(f, bags_.indices[i], target, [&](const auto& segment) { read(segment); });
      first_row = false;
    }
  }

  void read(const Row& row) {
    const Target& to = row.payload;
    if constexpr (std::is_same_v<T, Out>) {
      const bool alone = to.first && to.last && to.factor == Sum(1) && row.feature->sign == kUnsigned;
      if (alone && !(stream_ && row.feature->chunk < kStreamed)) return copy(row);
    }
    if constexpr (std::is_same_v<Sum, Out>) {
      if (!stream_) return to.first ? sum<true>(row, to.out) : sum<false>(row, to.out);
    }
    to.first ? sum<true>(row, sum_.data()) : sum<false>(row, sum_.data());
    if (to.last) emit(sum_.data() + row.element, to.out + row.element, row.end - row.element);
  }

  void copy(const Row& row) {
    row.for_each_run([&](int64_t element, int64_t slot, auto n, bool) {
      if (stream_) {
        stream_copy(row.payload.out + element, memory_.slots + slot, n * sizeof(T));
      } else {
        std::memcpy(row.payload.out + element, memory_.slots + slot, n * sizeof(T));
      }
    });
  }

  template <bool kFirst>
  void sum(const Row& row, Sum* to) {
    row.for_each_run([&](int64_t element, int64_t slot, auto n, bool negated) {
      memory_.template accumulate<kFirst>(slot, n, negated ? -row.payload.factor : row.payload.factor, to + element);
    });
  }

  void emit(const Sum* from, Out* to, int64_t n) {
    if (std::is_same_v<Sum, Out> && stream_) return stream_copy(to, from, n * sizeof(Out));
    for (int64_t i = 0; i < n; ++i) to[i] = static_cast<Out>(from[i]);
  }

  const Bags<T>& bags_;
  const Memory<T>& memory_;
  Out* out_;
  const bool stream_;
  std::vector<Sum> sum_;
  Maximum<T> maximum_;
  Ring<Target, T> ring_;
};

}  // namespace pocketrec
