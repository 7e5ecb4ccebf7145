// Slots of half a float, whose arithmetic torch brings: only what is built with it knows them.
#pragma once
#include <torch/headeronly/util/BFloat16.h>
#include <torch/headeronly/util/Half.h>

#include "slots.h"

namespace pocketrec {

using torch::headeronly::BFloat16;
using torch::headeronly::Half;

template <> struct SlotTraits<BFloat16> { using Sum = float; using Out = BFloat16; };  // rounded once, at the end
template <> struct SlotTraits<Half> { using Sum = float; using Out = Half; };

}  // namespace pocketrec
