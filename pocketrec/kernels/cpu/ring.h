// Rows on their way. Entering, a row's chunks are hashed and the cache lines they start in asked for; by the time it leaves
// and is read or written, they have come.
#pragma once
#include "row.h"
#include "stream.h"

namespace pocketrec {

constexpr int64_t kRing = 8;             // segments on their way, at most
constexpr int64_t kSegmentChunks = 128;  // of one segment
constexpr int64_t kLinesOnTheirWay = 48;

// Some chunks of one row, elements [element, end), and what is to become of them.
template <class Payload>
struct Segment {
  const Feature* feature;
  int64_t id, element, end, lines;
  Payload payload;
  Start starts[kSegmentChunks];

  template <class Body>
  void for_each_run(const Body& body) const { pocketrec::for_each_run(*feature, id, starts, element, end, body); }
};

template <class Payload, class Slot>
class Ring {
 public:
  explicit Ring(const Slot* slots) : slots_(slots) {}

  // Calls leave(segment) for those whose time has come; at least one row stays ahead of the one that leaves.
  template <class Leave>
  void enter(const Feature& f, int64_t id, const Payload& payload, const Leave& leave) {
    const int64_t chunks = f.num_chunks(), chunk_bytes = std::min(f.chunk, f.dim) * sizeof(Slot);
    for (int64_t done = 0; done < chunks; done += kSegmentChunks) {
      if (entered_ - left_ == kRing) leave(next());
      const int64_t count = std::min(chunks - done, kSegmentChunks);
      Segment<Payload>& s = segments_[entered_++ % kRing];
      s.feature = &f, s.id = id, s.payload = payload;
      s.element = done * f.chunk, s.end = std::min(f.dim, (done + count) * f.chunk);
      s.lines = count * (chunk_bytes / kLine + 1);
      lines_ += s.lines;
      hash_chunks(f, id, done, count, s.starts);
      for (int64_t c = 0; c < count; ++c) prefetch(slots_ + (s.starts[c] >> 1), chunk_bytes);
      while (entered_ - left_ > 1 && lines_ > kLinesOnTheirWay) leave(next());
    }
  }

  template <class Leave>
  void drain(const Leave& leave) {
    while (left_ < entered_) leave(next());
  }

 private:
  const Segment<Payload>& next() {
    const Segment<Payload>& s = segments_[left_++ % kRing];
    lines_ -= s.lines;
    return s;
  }

  const Slot* slots_;
  int64_t entered_ = 0, left_ = 0, lines_ = 0;
  Segment<Payload> segments_[kRing];
};

}  // namespace pocketrec
