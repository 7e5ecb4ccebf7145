// The same source again, an object of its own: setup.py compiles this one for AVX2.
#include "../lookup.cpp"
