// The id maps and the lookup without torch, for pocketrec/runtime/native_library.py: plain functions over the kernel's own
// headers, called through ctypes. Arrays are trusted to be as large as they are said to be; what lies in them is not.
#include "../kernels/cpu/forward.h"
#include "../kernels/cpu/sound.h"

#if defined(_WIN32)
#define POCKETREC_EXPORT extern "C" __declspec(dllexport)
#else
#define POCKETREC_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace pocketrec {
namespace {

// One id a feature: ids is (samples, features).
template <class T>
Bags<T> one_each(const int64_t* ids, int64_t samples, const int64_t* layout, int64_t features, int64_t width) {
  return Bags<T>{ids, nullptr, nullptr, reinterpret_cast<const Feature*>(layout), samples * features, samples, features, width, 1};
}

template <class T>
void forward(const Bags<T>& bags, const void* memory, const float* scales, float* out) {
  const Memory<T> from{static_cast<const T*>(memory), scales};
  Forward<T>(bags, from, out, false).samples(0, bags.num_samples);
}

// Row 0 for what is not kept, else `rows` of its place, or the place itself, counted from 1.
template <class T>
void search(const T* kept, const int64_t* ends, const int32_t* rows, const int64_t* ids, int64_t samples, int64_t features, int64_t* out) {
  for (int64_t i = 0; i < samples * features; ++i) {
    const int64_t feature = i % features;
    const T* first = kept + (feature ? ends[feature - 1] : 0);
    const T* last = kept + ends[feature];
    const T* found = std::lower_bound(first, last, ids[i], [](T held, int64_t id) { return static_cast<int64_t>(held) < id; });
    const bool held = found != last && static_cast<int64_t>(*found) == ids[i];
    out[i] = !held ? 0 : rows ? rows[found - kept] : found - first + 1;
  }
}

bool contains(const uint8_t* bits, uint64_t places, int64_t probes, uint64_t id, uint64_t key) {
  const uint64_t first = mix64(mixing_row(id, key)), second = mix64(first) | 1;
  for (int64_t k = 0; k < probes; ++k) {
    const uint64_t place = scale(first + static_cast<uint64_t>(k) * second, places);
    if (!(bits[place >> 3] >> (place & 7) & 1)) return false;
  }
  return true;
}

}  // namespace
}  // namespace pocketrec

// 1 where every row of the layout (features, 20) lies in a memory of so many slots, and its columns make up `width`.
POCKETREC_EXPORT int32_t pocketrec_layout_is_sound(const int64_t* layout, int64_t features, int64_t width, int64_t slots) {
  return pocketrec::layout_is_sound(pocketrec::one_each<float>(nullptr, 0, layout, features, width), slots, false);
}

// out (samples, width) = the rows of ids (samples, features), side by side; of a float32 memory, or, with scales, int8.
// The layout is a sound one. 0 where an id lies outside its table: nothing is read then.
POCKETREC_EXPORT int32_t pocketrec_lookup(const void* memory, const float* scales, const int64_t* layout, int64_t features, int64_t width, const int64_t* ids, int64_t samples, float* out) {
  using namespace pocketrec;
  const auto bags = one_each<float>(ids, samples, layout, features, width);
  if (!ids_are_inside(bags, 0, samples)) return 0;
  if (scales) forward(one_each<int8_t>(ids, samples, layout, features, width), memory, scales, out);
  else forward(bags, memory, nullptr, out);
  return 1;
}

// `FilteredIds.translate` (pocketrec/data/ids.py): ids (samples, features) that the filter does not hold become `unseen`.
POCKETREC_EXPORT void pocketrec_filter(const uint8_t* bits, int64_t bytes, int64_t probes, const int64_t* keys, int64_t unseen, const int64_t* ids, int64_t samples, int64_t features, int64_t* out) {
  for (int64_t i = 0; i < samples * features; ++i)
    out[i] = pocketrec::contains(bits, 8 * static_cast<uint64_t>(bytes), probes, ids[i], keys[i % features]) ? ids[i] : unseen;
}

// `Vocabulary.translate`, or with `rows` `RankedVocabulary.translate`: kept holds the ascending ids of feature 0, then of
// feature 1, ...; feature f's end before ends[f].
POCKETREC_EXPORT void pocketrec_search(const void* kept, int32_t wide, const int64_t* ends, const int32_t* rows, const int64_t* ids, int64_t samples, int64_t features, int64_t* out) {
  if (wide) pocketrec::search(static_cast<const int64_t*>(kept), ends, rows, ids, samples, features, out);
  else pocketrec::search(static_cast<const uint32_t*>(kept), ends, rows, ids, samples, features, out);
}
