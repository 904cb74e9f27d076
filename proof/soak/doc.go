// Package soak proves, by trying to refute it, that the history of every key is linearizable over both shapes. Several
// real processes work on one database, with old programs, an operator and kill -9 among them; what each operation
// answered is held against a model of one key (model_test.go) by a checker of histories. Between rounds, when all is
// quiet, the invariants are checked in SQL (invariants_test.go).
//
// There is nothing to import: all of it is tests. `make soak` runs it for as long as you like; a short one is among the
// tests.
package soak
