//! Deploy platforms: projects with environments and variables, and the pages on which their users let others in.

mod consent;
pub mod fly;
mod gate;
mod graphql;
pub mod netlify;
pub mod railway;
pub mod supabase;
pub mod vercel;

pub use consent::OAuthClient;
pub use gate::Reach;
