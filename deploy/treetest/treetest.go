// Package treetest holds the tests of the repository as a whole: who may import
// whom, and what every file and directory keeps to. It has no code of its own.
package treetest
