//! The filters of `ListSecrets` and `BatchGetSecretValue`.
//!
//! A secret is listed when every filter takes it. A filter takes it when one of its values matches, and none of its
//! values with a leading `!` does. A value matches at the start of the attribute, except for the key `all`, which looks
//! for each of the value's words anywhere.

use super::error::Error;
use super::requests::Filter as Request;
use super::store::Secret;

/// The keys a filter may have, as the service lists them.
const KEYS: &str = "description, name, tag-key, tag-value, primary-region, owning-service, all";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    All,
    Description,
    Name,
    TagKey,
    TagValue,
    /// Secrets of this emulator are not replicated and no service owns them, so nothing matches these two.
    PrimaryRegion,
    OwningService,
}

#[derive(Debug)]
struct Filter {
    attribute: Attribute,
    wanted: Vec<String>,
    unwanted: Vec<String>,
}

/// What a list is narrowed down to.
#[derive(Debug)]
pub(super) struct Filters(Vec<Filter>);

impl Filters {
    pub(super) fn parse(filters: Vec<Request>) -> Result<Self, Error> {
        if filters.len() > 10 {
            return Err(Error::constraint("filters", "have length less than or equal to 10"));
        }
        filters.into_iter().map(Filter::parse).collect::<Result<_, _>>().map(Self)
    }

    pub(super) fn take(&self, secret: &Secret) -> bool {
        self.0.iter().all(|filter| filter.takes(secret))
    }
}

impl Filter {
    fn parse(filter: Request) -> Result<Self, Error> {
        let name = filter.key.ok_or_else(|| Error::InvalidParameter("Invalid filter key".to_owned()))?;
        let attribute = match name.as_str() {
            "all" => Attribute::All,
            "description" => Attribute::Description,
            "name" => Attribute::Name,
            "tag-key" => Attribute::TagKey,
            "tag-value" => Attribute::TagValue,
            "primary-region" => Attribute::PrimaryRegion,
            "owning-service" => Attribute::OwningService,
            _ => return Err(Error::constraint("filters.member.key", &format!("satisfy enum value set: [{KEYS}]"))),
        };
        let values = filter.values.filter(|values| !values.is_empty());
        let values = values.ok_or_else(|| Error::InvalidParameter(format!("Invalid filter values for key: {name}")))?;
        if values.len() > 10 {
            return Err(Error::constraint("filters.member.values", "have length less than or equal to 10"));
        }
        let (unwanted, wanted): (Vec<_>, Vec<_>) = values.into_iter().partition(|value| value.starts_with('!'));
        let unwanted = unwanted.iter().filter_map(|value| value.strip_prefix('!')).map(str::to_owned).collect();
        Ok(Self { attribute, wanted, unwanted })
    }

    fn takes(&self, secret: &Secret) -> bool {
        let matches = |value: &String| self.attribute.matches(secret, value);
        (self.wanted.is_empty() || self.wanted.iter().any(matches)) && !self.unwanted.iter().any(matches)
    }
}

impl Attribute {
    fn matches(self, secret: &Secret, value: &str) -> bool {
        let description = secret.description.as_deref().unwrap_or_default();
        let mut tags = secret.tags.iter().flatten();
        match self {
            Self::Name => secret.name.starts_with(value),
            Self::Description => description.to_lowercase().starts_with(&value.to_lowercase()),
            Self::TagKey => tags.any(|tag| tag.key.starts_with(value)),
            Self::TagValue => tags.any(|tag| tag.value.starts_with(value)),
            Self::PrimaryRegion | Self::OwningService => false,
            Self::All => {
                let tags = tags.flat_map(|tag| [tag.key.as_str(), tag.value.as_str()]);
                let attributes: Vec<_> =
                    [&secret.name, description].into_iter().chain(tags).map(str::to_lowercase).collect();
                let value = value.to_lowercase();
                value.split_whitespace().all(|word| attributes.iter().any(|attribute| attribute.contains(word)))
            }
        }
    }
}
