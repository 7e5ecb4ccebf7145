// out[b, columns of f] = pool over the bag's ids of weight * row.
//
// Rows pass through a ring: entering it, a row's chunks are hashed and its cache lines asked for; by the time it leaves and
// is read, they have come. Sums are kept in `sum_`, one row wide, and rounded once.
#pragma once
#include <cstring>
#include <vector>

#include "bags.h"
#include "maximum.h"
#include "stream.h"

namespace pocketrec {

constexpr int64_t kRing = 8;             // segments of rows on their way, at most
constexpr int64_t kSegmentChunks = 128;  // of one segment
constexpr int64_t kLinesOnTheirWay = 64;
constexpr int64_t kStreamed = 16;  // runs shorter than this are gathered before they are streamed

template <class T>
class Forward {
 public:
  using Sum = SumOf<T>;
  using Out = OutOf<T>;

  Forward(const Bags<T>& bags, const Memory<T>& memory, Out* out, bool stream)
      : bags_(bags), memory_(memory), out_(out), stream_(stream), sum_(bags.width), maximum_(bags.width) {}

  void samples(int64_t first, int64_t last) {
    for (int64_t b = first; b < last; ++b)
      for (int64_t j = 0; j < bags_.num_features; ++j) bag(bags_.features[j], bags_.begin(b, j), bags_.end(b, j), out_ + b * bags_.width);
    while (read_ < entered_) leave();
    if (stream_) stream_fence();
  }

 private:
  // Some chunks of one row, and what becomes of them.
  struct Segment {
    const Feature* feature;
    int64_t id, element, end;
    Sum factor;
    bool first, last;  // of its bag
    Out* out;
    int64_t lines;
    Start starts[kSegmentChunks];
  };

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
      add_row(f, bags_.indices[i], pool * bags_.weight(i), first_row, left == 0, out);
      first_row = false;
    }
  }

  void add_row(const Feature& f, int64_t id, Sum factor, bool first, bool last, Out* out) {
    const int64_t chunks = f.num_chunks(), chunk_bytes = f.chunk * sizeof(T);
    for (int64_t done = 0; done < chunks; done += kSegmentChunks) {
      const int64_t count = std::min(chunks - done, kSegmentChunks);
      const int64_t lines = count * (chunk_bytes / 64 + 1);
      while (read_ < entered_ && (entered_ - read_ == kRing || on_their_way_ + lines > kLinesOnTheirWay)) leave();
      Segment& s = ring_[entered_++ % kRing];
      s.feature = &f, s.id = id, s.element = done * f.chunk, s.end = std::min(f.dim, (done + count) * f.chunk);
      s.factor = factor, s.first = first, s.last = last, s.out = out, s.lines = lines;
      hash_chunks(f, id, done, count, s.starts);
      for (int64_t c = 0; c < count; ++c) prefetch(memory_.slots + (s.starts[c] >> 1), chunk_bytes);
      on_their_way_ += lines;
    }
  }

  void leave() {
    const Segment& s = ring_[read_++ % kRing];
    on_their_way_ -= s.lines;
    read(s);
  }

  void read(const Segment& s) {
    if constexpr (std::is_same_v<T, Out>) {
      const bool alone = s.first && s.last && s.factor == Sum(1) && s.feature->sign == kUnsigned;
      if (alone && !(stream_ && s.feature->chunk < kStreamed)) return copy(s);
    }
    s.first ? sum<true>(s) : sum<false>(s);
    if (s.last) emit(sum_.data() + s.element, s.out + s.element, s.end - s.element);
  }

  void copy(const Segment& s) {
    for_each_run(*s.feature, s.id, s.starts, s.element, s.end, [&](int64_t element, int64_t slot, auto n, bool) {
      if (stream_) {
        stream_copy(s.out + element, memory_.slots + slot, n * sizeof(T));
      } else {
        std::memcpy(s.out + element, memory_.slots + slot, n * sizeof(T));
      }
    });
  }

  template <bool kFirst>
  void sum(const Segment& s) {
    for_each_run(*s.feature, s.id, s.starts, s.element, s.end, [&](int64_t element, int64_t slot, auto n, bool negated) {
      Sum* __restrict to = sum_.data() + element;
      const Sum factor = negated ? -s.factor : s.factor;
      memory_.read(slot, n, [&](int64_t i, Sum value) { to[i] = kFirst ? factor * value : to[i] + factor * value; });
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
  Segment ring_[kRing];
  int64_t entered_ = 0, read_ = 0, on_their_way_ = 0;
};

}  // namespace pocketrec
