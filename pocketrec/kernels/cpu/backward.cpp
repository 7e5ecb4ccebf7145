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
template <class T>
void add_in_copies(const Gradient<T>& gradient, int64_t num_slots, int64_t tasks, SumOf<T>* sums) {
  const int64_t num_ids = gradient.bags.num_ids;
  const std::unique_ptr<SumOf<T>[]> copies(new SumOf<T>[(tasks - 1) * num_slots]);
  parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) {
    for (int64_t task = first; task < last; ++task) {
      SumOf<T>* own = task ? copies.get() + (task - 1) * num_slots : sums;
      if (task) std::fill_n(own, num_slots, SumOf<T>(0));
      add_rows(gradient, num_ids * task / tasks, num_ids * (task + 1) / tasks, own, Touched{});
    }
  });
  for_slots(num_slots, [&](int64_t lo, int64_t hi) {
    for (int64_t task = 1; task < tasks; ++task) add_scaled(sums + lo, copies.get() + (task - 1) * num_slots + lo, hi - lo, SumOf<T>(1));
  });
}

// Every task adds to slots of its own.
template <class T>
void add_in_bins(const Gradient<T>& gradient, int64_t num_slots, int64_t tasks, SumOf<T>* sums, Touched touched) {
  const int64_t num_ids = gradient.bags.num_ids;
  Bins<T> bins(gradient, num_slots, tasks);
  const auto every_task = [&](const auto& step) {
    parallel_for(0, tasks, 1, [&](int64_t first, int64_t last) { for (int64_t task = first; task < last; ++task) step(task); });
  };
  for (int64_t tile = 0; tile < num_ids; tile += bins.tile_ids()) {
    bins.set_tile(tile, std::min(bins.tile_ids(), num_ids - tile));
    every_task([&](int64_t task) { bins.count_runs(task); });
    bins.make_room();
    every_task([&](int64_t task) { bins.place_runs(task); });
    every_task([&](int64_t task) { bins.add_runs(task, sums, touched); });
  }
}

// Adds the batch's gradient to `sums`, and marks what it touched.
template <class T>
void accumulate(const Gradient<T>& gradient, const Memory<T>& memory, int64_t num_slots, SumOf<T>* sums, Touched touched) {
  const Bags<T>& bags = gradient.bags;
  if (bags.num_ids == 0) return;
  const bool maxima = std::any_of(bags.features, bags.features + bags.num_features, [](const Feature& f) { return f.mode == kMax; });
  const int64_t elements = bags.num_ids * (bags.width / bags.num_features), most = elements / kElementsPerTask + 1;
  const int64_t tasks = std::min<int64_t>(torch::stable::get_num_threads(), most);
  const bool dense = elements >= tasks * num_slots;
  if (tasks == 1) {
    add_rows(gradient, 0, bags.num_ids, sums, touched);
  } else if (dense) {
    add_in_copies(gradient, num_slots, tasks, sums);
  } else {
    add_in_bins(gradient, num_slots, tasks, sums, touched);
  }
  if (maxima) for_slots(num_slots, [&](int64_t lo, int64_t hi) { add_maxima(gradient, memory, lo, hi, sums); });
  const bool all = (dense && tasks > 1) || maxima;
  if (all && touched.flags) std::fill_n(touched.flags, (num_slots + kTouchBlock - 1) / kTouchBlock, uint8_t(1));
}

Tensor lookup_backward(Tensor grad, Tensor memory, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout) {
  using torch::headeronly::ScalarType;
  const bool half = memory.scalar_type() == ScalarType::BFloat16 || memory.scalar_type() == ScalarType::Half;
  Tensor sums = torch::stable::new_zeros(memory, memory.sizes(), half ? std::optional(ScalarType::Float) : std::nullopt);
  POCKETREC_DISPATCH(memory, "lookup_backward", [&] {
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    const Gradient<scalar_t> gradient{bags, data<scalar_t>(grad)};
    accumulate(gradient, {data<scalar_t>(memory), nullptr}, memory.numel(), mutable_data<SumOf<scalar_t>>(sums), Touched{});
  });
  return half ? torch::stable::to(sums, memory.scalar_type()) : sums;
}

template <class T>
void step_all(int64_t rule, const Constants& constants, T* memory, SumOf<T>* sums, Touched touched, SumOf<T>* first, SumOf<T>* second, int64_t num_slots) {
  const bool idle = rule != kAdam && constants.weight_decay == 0;
  const SumOf<T> decay = constants.weight_decay;
  const auto run = [&](const auto& step) {
    for_slots(num_slots, [&](int64_t lo, int64_t hi) { update(step, decay, idle, memory, sums, touched, first, second, lo, hi); });
  };
  if (rule == kSgd) run(Sgd<SumOf<T>>(constants));
  if (rule == kAdagrad) run(Adagrad<SumOf<T>>(constants));
  if (rule == kAdam) run(Adam<SumOf<T>>(constants));
}

void lookup_update_(Tensor grad, Tensor memory, Tensor scratch, std::optional<Tensor> first, std::optional<Tensor> second, Tensor indices, std::optional<Tensor> offsets, std::optional<Tensor> weights, Tensor layout, int64_t rule, std::vector<double> constants) {
  std::vector<uint8_t> touched((memory.numel() + kTouchBlock - 1) / kTouchBlock);
  const Constants c{constants[0], constants[1], constants[2], constants[3], constants[4], constants[5], constants[6]};
  POCKETREC_DISPATCH(memory, "lookup_update_", [&] {
    using Sum = SumOf<scalar_t>;
    const auto bags = unpack<scalar_t>(indices, offsets, weights, layout, grad.size(1));
    Sum* sums = mutable_data<Sum>(scratch);
    const Gradient<scalar_t> gradient{bags, data<scalar_t>(grad)};
    accumulate(gradient, {data<scalar_t>(memory), nullptr}, memory.numel(), sums, Touched{touched.data()});
    step_all(rule, c, mutable_data<scalar_t>(memory), sums, Touched{touched.data()}, mutable_data<Sum>(first), mutable_data<Sum>(second), memory.numel());
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
