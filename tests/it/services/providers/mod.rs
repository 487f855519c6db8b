//! Each type of integration against its provider.
