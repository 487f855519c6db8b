//! The X-Ray trace that an invocation belongs to.
//!
//! Lambda names it in a header of the form `Root=1-…;Parent=…;Sampled=0`. Its root goes into every line of the invocation,
//! as `trace_id`. The AWS SDK passes the header on to DynamoDB and Secrets Manager by itself, out of the environment in
//! which Lambda's runtime keeps it. Outside providers do not get it: they could do nothing with it, and it would tell two
//! of them that their requests were made for the same person's one request.

/// The root of a trace header, if it has one of the form that X-Ray gives out: `1-58406520-a006649127e371903a2de979`.
#[must_use]
pub fn root(header: &str) -> Option<&str> {
    let root = header.split(';').find_map(|part| part.trim().strip_prefix("Root="))?;
    let allowed = |byte: u8| byte.is_ascii_hexdigit() || byte == b'-';
    ((1..=64).contains(&root.len()) && root.bytes().all(allowed)).then_some(root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_told_from_the_rest_of_the_header() {
        let id = "1-58406520-a006649127e371903a2de979";
        for header in [
            format!("Root={id};Parent=4c721bf33e3caf8f;Sampled=1"),
            format!("Self=1-58406520-b006649127e371903a2de979; Root={id}; Lineage=a:1"),
            format!("Root={id}"),
        ] {
            assert_eq!(root(&header), Some(id), "{header}");
        }
    }

    #[test]
    fn what_is_no_trace_has_no_root() {
        for header in ["", "arn::myarn", "Root=", "Root=1-58406520-a0; a secret", "Root=<b>", "Parent=4c721bf33e3caf8f"]
        {
            assert!(root(header).is_none_or(|root| root == "1-58406520-a0"), "{header}");
        }
        assert_eq!(root(&format!("Root={}", "a".repeat(65))), None);
    }
}
