//! Deploy platforms: projects with environments and variables, and the pages on which their users let others in.

mod consent;
pub mod netlify;
pub mod vercel;

pub use consent::OAuthClient;
