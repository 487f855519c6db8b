//! Empty: the tests of this package are its one integration-test binary.
