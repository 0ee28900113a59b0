// Inverses of symmetric positive definite matrices of a few hundred rows, equal on every machine.
#pragma once

#include <cstdint>

namespace galvo::bayes {

// `out` (n, n) from `matrix` (n, n), of which the upper triangle is read, by Cholesky's factors. False if it is not
// positive definite; `out` is meaningless then.
bool invert(const double *matrix, std::int64_t n, double *out);

}  // namespace galvo::bayes
