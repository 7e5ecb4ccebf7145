// The gradients, and the backward fused with an optimiser's step, as torch ops.
#include <algorithm>
#include <memory>
#include <vector>

#include "bins.h"
#include "copies.h"
#include "maximum.h"
#include "rows.h"
#include "tensors.h"
#include "update.h"

namespace pocketrec {

constexpr int64_t kSamplesPerTask = 64;
constexpr int64_t kBlocksPerTask = 8;  // of kTouchBlock slots
constexpr int64_t kElementsPerTask = 1 << 12;  // of the gradient; fewer are not worth a task

// Calls task(first slot, last slot) in parallel over all slots, in whole blocks.
template <class Task>
void for_slots(int64_t num_slots, const Task& task) {
  parallel_for(0, (num_slots + kTouchBlock - 1) / kTouchBlock, kBlocksPerTask, [&](int64_t first, int64_t last) {
    task(first * kTouchBlock, std::min(last * kTouchBlock, num_slots));
  });
}

// Every task adds to sums of its own; the first one's are `sums` themselves.
template <class T, class Finish>
void add_in_copies(const Gradient<T>& gradient, int64_t num_slots, int64_t tasks, SumOf<T>* sums, const Finish& finish) {
  const int64_t num_ids = gradient.bags.num_ids;
  const std::unique_ptr<SumOf<T>[]> copies(new SumOf<T>[(tasks - 1) * num_slots]);
  parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      SumOf<T>* own = task ? copies.get() + (task - 1) * num_slots : sums;
      if (task) std::fill_n(own, num_slots, SumOf<T>(0));
      add_rows(gradient, num_ids * task / tasks, num_ids * (task + 1) / tasks, own, Touched{});
    }
  });
  for_slots(num_slots, [&](int64_t first, int64_t last) {
    for (int64_t lo = first; lo < last; lo += kBinSlots) {
      const int64_t hi = std::min(lo + kBinSlots, last);
      for (int64_t task = 1; task < tasks; ++task) add_scaled(sums + lo, copies.get() + (task - 1) * num_slots + lo, hi - lo, SumOf<T>(1));
      finish(lo, hi);
    }
  });
}

// Every task adds to slots of its own.
template <class T, class Finish>
void add_in_bins(const Gradient<T>& gradient, int64_t num_slots, int64_t tasks, SumOf<T>* sums, Touched touched, const Finish& finish) {
  const int64_t num_ids = gradient.bags.num_ids;
  Bins<T> bins(gradient, num_slots, tasks);
  const auto every_task = [&](const auto& step) {
    parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) { for (int64_t task = first; task < last; ++task) step(task); });
  };
  for (int64_t tile = 0; tile < num_ids; tile += bins.tile_ids()) {
    const bool last = tile + bins.tile_ids() >= num_ids;
    bins.set_tile(tile, std::min(bins.tile_ids(), num_ids - tile));
    every_task([&](int64_t task) { bins.count_runs(task); });
    bins.make_room();
    every_task([&](int64_t task) { bins.place_runs(task); });
    every_task([&](int64_t task) { bins.add_runs(task, sums, touched, [&](int64_t lo, int64_t hi) { if (last) finish(lo, hi); }); });
  }
}

// Adds the batch's gradient to `sums` and marks what it touched; then calls finish(first slot, last slot) for all slots.
template <class T, class Finish>
void accumulate(const Gradient<T>& gradient, const Memory<T>& memory, int64_t num_slots, SumOf<T>* sums, Touched touched, const Finish& finish) {
  const Bags<T>& bags = gradient.bags;
  const bool maxima = std::any_of(bags.features, bags.features + bags.num_features, [](const Feature& f) { return f.mode == kMax; });
  const int64_t elements = bags.num_features ? bags.num_ids * (bags.width / bags.num_features) : 0;
  const int64_t tasks = std::min<int64_t>(torch::stable::get_num_threads(), elements / kElementsPerTask + 1);
  const bool dense = elements >= tasks * num_slots;
  if (maxima || (dense && tasks > 1)) touched.mark_all(num_slots);
  if (maxima) {
    add_rows(gradient, 0, bags.num_ids, sums, touched);
    // All maxima are looked for before any slot is stepped: they read the whole memory.
    for_slots(num_slots, [&](int64_t lo, int64_t hi) { add_maxima(gradient, memory, lo, hi, sums); });
    for_slots(num_slots, finish);
  } else if (tasks == 1) {
    add_rows(gradient, 0, bags.num_ids, sums, touched);
    for_slots(num_slots, finish);
  } else if (dense) {
    add_in_copies(gradient, num_slots, tasks, sums, finish);
  } else {
    add_in_bins(gradient, num_slots, tasks, sums, touched, finish);
  }
}

Tensor lookup_backward(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout) {
  using torch::headeronly::ScalarType;
  const bool half = memory.scalar_type() == ScalarType::BFloat16 || memory.scalar_type() == ScalarType::Half;
  Tensor sums = torch::stable::new_zeros(memory, memory.sizes(), half ? std::optional(ScalarType::Float) : std::nullopt);
  POCKETREC_DISPATCH(memory, "lookup_backward", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    const Gradient<scalar_t> gradient{bags, data<scalar_t>(grad)};
    accumulate(gradient, {data<scalar_t>(memory), nullptr}, memory.numel(), mutable_data<SumOf<scalar_t>>(sums), Touched{}, [](int64_t, int64_t) {});
  });
  return half ? torch::stable::to(sums, memory.scalar_type()) : sums;
}

// Calls use(step) with the rule's step.
template <class S, class Use>
void with_step(int64_t rule, const Constants& constants, const Use& use) {
  if (rule == kSgd) use(Sgd<S>(constants));
  if (rule == kAdagrad) use(Adagrad<S>(constants));
  if (rule == kAdam) use(Adam<S>(constants));
}

void lookup_update_(Tensor grad, Tensor memory, Tensor scratch, std::optional<Tensor> first, std::optional<Tensor> second, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout, int64_t rule, std::vector<double> constants) {
  const int64_t num_slots = memory.numel();
  std::vector<uint8_t> flags((num_slots + kTouchBlock - 1) / kTouchBlock);
  const Touched touched{flags.data()};
  const Constants c{constants[0], constants[1], constants[2], constants[3], constants[4], constants[5], constants[6]};
  const bool idle = rule != kAdam && c.weight_decay == 0;
  POCKETREC_DISPATCH(memory, "lookup_update_", [&] {
    using Sum = SumOf<scalar_t>;
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    const Gradient<scalar_t> gradient{bags, data<scalar_t>(grad)};
    scalar_t* slots = mutable_data<scalar_t>(memory);
    Sum *sums = mutable_data<Sum>(scratch), *one = mutable_data<Sum>(first), *two = mutable_data<Sum>(second);
    with_step<Sum>(rule, c, [&](const auto& step) {
      accumulate(gradient, {slots, nullptr}, num_slots, sums, touched, [&](int64_t lo, int64_t hi) {
        update(step, static_cast<Sum>(c.weight_decay), idle, slots, sums, touched, one, two, lo, hi);
      });
    });
  });
}

Tensor lookup_backward_rows(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout, int64_t dim) {
  Tensor grad_rows = torch::stable::new_empty(memory, {indices.numel(), dim});
  POCKETREC_DISPATCH(memory, "lookup_backward_rows", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    const Memory<scalar_t> values{data<scalar_t>(memory), nullptr};
    parallel_for(0, bags.num_samples, kSamplesPerTask, [&](int64_t lo, int64_t hi) { backward_rows(bags, values, data<scalar_t>(grad), lo, hi, mutable_data<scalar_t>(grad_rows)); });
  });
  return grad_rows;
}

Tensor lookup_backward_weights(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, Tensor layout) {
  Tensor grad_weights = torch::stable::new_empty(memory, {indices.numel()});
  POCKETREC_DISPATCH(memory, "lookup_backward_weights", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, std::nullopt, layout, grad.size(1));
    const Memory<scalar_t> values{data<scalar_t>(memory), nullptr};
    parallel_for(0, bags.num_samples, kSamplesPerTask, [&](int64_t lo, int64_t hi) { backward_weights(bags, values, data<scalar_t>(grad), lo, hi, mutable_data<scalar_t>(grad_weights)); });
  });
  return grad_weights;
}

}  // namespace pocketrec

STABLE_TORCH_LIBRARY_IMPL(pocketrec_cpu, CPU, m) {
  m.impl("lookup_backward", TORCH_BOX(&pocketrec::lookup_backward));
  m.impl("lookup_backward_rows", TORCH_BOX(&pocketrec::lookup_backward_rows));
  m.impl("lookup_backward_weights", TORCH_BOX(&pocketrec::lookup_backward_weights));
  m.impl("lookup_update_", TORCH_BOX(&pocketrec::lookup_update_));
}
