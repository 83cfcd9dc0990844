//! Paths and host names with holes: `/Accounts/{AccountSid}/Messages.json`, `{region}.api.example.com`.

/// Texts, and a named hole between each two of them.
#[derive(Debug, Clone)]
pub struct Template {
    texts: Vec<String>,
    names: Vec<String>,
}

impl Template {
    pub fn new(written: &str) -> Self {
        let (mut texts, mut names) = (Vec::new(), Vec::new());
        let mut rest = written;
        while let Some((text, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or((after, ""));
            texts.push(text.to_owned());
            names.push(name.to_owned());
            rest = after;
        }
        texts.push(rest.to_owned());
        Self { texts, names }
    }

    /// The names of the holes and what stands in them; `None` when the text is another one. Nothing in a hole holds `stop`.
    pub fn matched(&self, text: &str, stop: char) -> Option<Vec<(&str, String)>> {
        let [first, between @ ..] = self.texts.as_slice() else { return None };
        let mut rest = text.strip_prefix(first.as_str())?;
        let mut holes = Vec::new();
        for (index, (name, after)) in self.names.iter().zip(between).enumerate() {
            let is_last = index + 1 == self.names.len();
            let end = if is_last { rest.len().checked_sub(after.len())? } else { rest.find(after.as_str())? };
            let (hole, tail) = rest.split_at_checked(end)?;
            rest = tail.strip_prefix(after.as_str())?;
            if hole.is_empty() || hole.contains(stop) {
                return None;
            }
            holes.push((name.as_str(), hole.to_owned()));
        }
        rest.is_empty().then_some(holes)
    }

    /// Fewer holes say more.
    pub fn holes(&self) -> usize {
        self.names.len()
    }
}

#[test]
fn a_hole_takes_one_segment_and_no_more_and_no_less() {
    let path = Template::new("/Accounts/{Sid}/Messages/{Id}.json");
    let holes = Some(vec![("Sid", "A.C".to_owned()), ("Id", "1".to_owned())]);
    assert_eq!(path.matched("/Accounts/A.C/Messages/1.json", '/'), holes);
    for other in ["/Accounts//Messages/1.json", "/Accounts/A/b/Messages/1.json", "/Accounts/A/Messages/1", "/", ""] {
        assert_eq!(path.matched(other, '/'), None, "{other}");
    }
    assert_eq!(Template::new("/sms").matched("/sms", '/'), Some(Vec::new()));
    assert_eq!(Template::new("/sms").matched("/sms/", '/'), None);
    assert_eq!(Template::new("{region}.example.com").matched("eu.west.example.com", '/').unwrap().len(), 1);
}
