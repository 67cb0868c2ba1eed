// Package apivalidation holds the tests of what the API server accepts and
// refuses: every validation rule of the CRDs, the samples, the printer columns,
// and the shape of the schema itself. It holds no code of its own.
package apivalidation
