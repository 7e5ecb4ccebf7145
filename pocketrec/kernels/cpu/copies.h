// The gradient to the memory, first way: every task adds its share of the ids to sums of its own, and these are added up.
// Best where tasks are few and ids many; the order of the additions, and so the last bits, follow the number of tasks.
#pragma once
#include "gradient.h"
#include "ring.h"

namespace pocketrec {

template <class T>
void add_rows(const Gradient<T>& gradient, int64_t first, int64_t last, SumOf<T>* sums) {
  using Row = RowGradient<T>;
  Ring<Row, SumOf<T>> ring(sums);
  const auto leave = [&](const Segment<Row>& segment) {
    const Row& row = segment.payload;
    segment.for_each_run([&](int64_t element, int64_t slot, auto n, bool negated) {
      add_scaled(sums + slot, row.grad + element, n, negated ? -row.factor : row.factor);
    });
  };
  gradient.for_each_row(first, last, [&](int64_t, const Row& row) {
    if (row.feature) ring.enter(*row.feature, row.id, row, leave);
  });
  ring.drain(leave);
}

}  // namespace pocketrec
