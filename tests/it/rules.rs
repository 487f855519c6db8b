//! The house rules, checked by reading the source tree.
