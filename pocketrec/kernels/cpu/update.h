// The optimisers' steps, slot by slot, as torch.optim defines them; `g` is the gradient with its weight decay added.
#pragma once
#include <cmath>
#include <cstdint>

#include "slots.h"
#include "sums.h"

namespace pocketrec {

enum Update : int64_t { kSgd = 0, kAdagrad = 1, kAdam = 2 };

// The order of `constants` in pocketrec/ops/update.py.
struct Constants {
  double rate, weight_decay, epsilon, beta1, beta2, correction1, correction2;
};

// Each says how many numbers it keeps for a slot, and turns a weight into the next one.
template <class S>
struct Sgd {
  static constexpr int kStates = 0;
  S rate;
  explicit Sgd(const Constants& c) : rate(c.rate) {}
  S operator()(S w, S g) const { return w - rate * g; }
};

template <class S>
struct Adagrad {
  static constexpr int kStates = 1;
  S rate, epsilon;
  explicit Adagrad(const Constants& c) : rate(c.rate), epsilon(c.epsilon) {}
  S operator()(S w, S g, S& sum) const {
    sum += g * g;
    return w - rate * g / (std::sqrt(sum) + epsilon);
  }
};

template <class S>
struct Adam {
  static constexpr int kStates = 2;
  S rate, epsilon, beta1, rest1, beta2, rest2, scale2;
  explicit Adam(const Constants& c)
      : rate(c.rate / c.correction1), epsilon(c.epsilon), beta1(c.beta1), rest1(1 - c.beta1), beta2(c.beta2),
        rest2(1 - c.beta2), scale2(1 / std::sqrt(c.correction2)) {}
  S operator()(S w, S g, S& mean, S& square) const {
    mean = beta1 * mean + rest1 * g;
    square = beta2 * square + rest2 * g * g;
    return w - rate * mean / (std::sqrt(square) * scale2 + epsilon);
  }
};

// Steps the slots that `sums` are of. Where a slot without a gradient would stay as it is (`idle`), blocks that were not
// touched are passed over.
template <class T, class Step>
void update(const Step& step, SumOf<T> weight_decay, bool idle, T* memory, const Sums<SumOf<T>>& sums, SumOf<T>* first, SumOf<T>* second) {
  sums.for_each_block(idle, [&](int64_t offset, int64_t end) {
    for (int64_t i = offset; i < end; ++i) {
      const int64_t s = sums.first + i;
      const SumOf<T> w = static_cast<SumOf<T>>(memory[s]), g = sums.values[i] + weight_decay * w;
      if constexpr (Step::kStates == 0) memory[s] = static_cast<T>(step(w, g));
      if constexpr (Step::kStates == 1) memory[s] = static_cast<T>(step(w, g, first[s]));
      if constexpr (Step::kStates == 2) memory[s] = static_cast<T>(step(w, g, first[s], second[s]));
    }
  });
}

}  // namespace pocketrec
