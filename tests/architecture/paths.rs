//! The paths that a source text names, resolved against the module it is in.

/// A path with its root resolved: `crate::…`, or the name of an extern crate or of something local.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
}

impl Named {
    pub(crate) fn root(&self) -> &str {
        &self.segments[0]
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(String),
    /// `::`
    Then,
    Other(char),
}

/// All paths of two segments and more, and all `use` trees, of a file below `src`.
pub(crate) fn named_paths(file: &str, text: &str) -> Vec<Named> {
    let tokens = tokens(text);
    let mut walk = Walk { tokens: &tokens, at: 0, module: module_of(file), blocks: Vec::new(), found: Vec::new() };
    walk.run();
    walk.found
}

/// The module that a file is: `gateway/source/mod.rs` is `crate::gateway::source`.
fn module_of(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    let inner = match stem {
        "lib" | "main" => "",
        other => other,
    };
    let parts = inner.split('/').filter(|part| !part.is_empty());
    std::iter::once("crate").chain(parts).map(str::to_owned).collect()
}

struct Walk<'t> {
    tokens: &'t [(Token, usize)],
    at: usize,
    module: Vec<String>,
    /// For each open brace, whether it opened an inline module.
    blocks: Vec<bool>,
    found: Vec<Named>,
}

impl Walk<'_> {
    fn run(&mut self) {
        while let Some((token, _)) = self.tokens.get(self.at) {
            match token {
                Token::Word(word) if word == "use" => {
                    self.at += 1;
                    self.tree(&[]);
                }
                Token::Word(word) if word == "mod" && self.opens_module() => {
                    if let Some((Token::Word(name), _)) = self.tokens.get(self.at + 1) {
                        self.module.push(name.clone());
                    }
                    self.blocks.push(true);
                    self.at += 3;
                }
                Token::Word(_) => self.expression_path(),
                // A path from the outside, `::crate_name::…`, begins with the separator.
                Token::Then => self.at += 1,
                Token::Other(c) => {
                    match c {
                        '{' => self.blocks.push(false),
                        '}' if self.blocks.pop() == Some(true) => {
                            self.module.pop();
                        }
                        _ => {}
                    }
                    self.at += 1;
                }
            }
        }
    }

    fn opens_module(&self) -> bool {
        matches!(self.tokens.get(self.at + 1), Some((Token::Word(_), _)))
            && matches!(self.tokens.get(self.at + 2), Some((Token::Other('{'), _)))
    }

    fn expression_path(&mut self) {
        let line = self.tokens[self.at].1;
        let mut segments = Vec::new();
        while let Some((Token::Word(word), _)) = self.tokens.get(self.at) {
            segments.push(word.clone());
            self.at += 1;
            if matches!(self.tokens.get(self.at), Some((Token::Then, _))) {
                self.at += 1;
            } else {
                break;
            }
        }
        if segments.len() > 1 {
            self.record(&segments, line);
        }
    }

    /// A `use` tree from here on, below `prefix`.
    fn tree(&mut self, prefix: &[String]) {
        let mut path = prefix.to_vec();
        let mut line = self.tokens.get(self.at).map_or(0, |token| token.1);
        while let Some((token, at_line)) = self.tokens.get(self.at) {
            match token {
                Token::Then | Token::Other('*') => self.at += 1,
                Token::Word(word) if word == "as" => self.at += 2,
                Token::Word(word) => {
                    line = *at_line;
                    if word != "self" || path.is_empty() {
                        path.push(word.clone());
                    }
                    self.at += 1;
                }
                Token::Other('{') => {
                    self.at += 1;
                    while !matches!(self.tokens.get(self.at), None | Some((Token::Other('}'), _))) {
                        self.tree(&path);
                        if matches!(self.tokens.get(self.at), Some((Token::Other(','), _))) {
                            self.at += 1;
                        }
                    }
                    self.at += 1;
                    return;
                }
                Token::Other(_) => break,
            }
        }
        self.record(&path, line);
    }

    fn record(&mut self, path: &[String], line: usize) {
        let supers = path.iter().take_while(|segment| *segment == "super").count();
        let segments = match path.first().map(String::as_str) {
            None => return,
            Some("self") => {
                let ups = path[1..].iter().take_while(|segment| *segment == "super").count();
                [self.above(ups), path[1 + ups..].to_vec()].concat()
            }
            Some("super") => [self.above(supers), path[supers..].to_vec()].concat(),
            Some(_) => path.to_vec(),
        };
        self.found.push(Named { segments, line });
    }

    fn above(&self, levels: usize) -> Vec<String> {
        self.module[..self.module.len().saturating_sub(levels).max(1)].to_vec()
    }
}

/// The text without comments and literals, each token with its line.
fn tokens(text: &str) -> Vec<(Token, usize)> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let rest = &chars[at..];
        let length = match rest {
            ['/', '/', ..] => rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => string(rest, 0),
            ['\'', ..] => character(rest),
            [':', ':', ..] => {
                tokens.push((Token::Then, line));
                2
            }
            [c, ..] if c.is_alphanumeric() || *c == '_' => literal(rest).unwrap_or_else(|| {
                let end = rest.iter().position(|c| !c.is_alphanumeric() && *c != '_').unwrap_or(rest.len());
                tokens.push((Token::Word(rest[..end].iter().collect()), line));
                end
            }),
            [c, ..] => {
                if !c.is_whitespace() {
                    tokens.push((Token::Other(*c), line));
                }
                1
            }
            [] => 1,
        };
        line += chars[at..chars.len().min(at + length)].iter().filter(|c| **c == '\n').count();
        at += length.max(1);
    }
    tokens
}

fn block_comment(rest: &[char]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    at
}

/// Length of a string literal with escapes, whose quote is at `from`.
fn string(rest: &[char], from: usize) -> usize {
    let mut at = from + 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of a literal with a prefix, such as `b"…"`, `r#"…"#`, `b'…'`; `None` when it is a word.
fn literal(rest: &[char]) -> Option<usize> {
    let letters = rest.iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let hashes = rest[letters..].iter().take_while(|c| **c == '#').count();
    let raw = rest[..letters].contains(&'r');
    match rest.get(letters + hashes) {
        Some('"') if letters <= 2 && raw => {
            let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
            let body = letters + hashes + 1;
            let end = rest[body..].windows(close.len()).position(|window| window == close);
            Some(end.map_or(rest.len(), |end| body + end + close.len()))
        }
        Some('"') if letters == 1 && hashes == 0 => Some(string(rest, letters)),
        Some('\'') if letters == 1 && hashes == 0 && rest[0] == 'b' => Some(1 + character(&rest[1..])),
        _ => None,
    }
}

/// Length of a character literal, or of the tick of a lifetime.
fn character(rest: &[char]) -> usize {
    match rest {
        ['\'', '\\', ..] => rest.iter().skip(3).position(|c| *c == '\'').map_or(rest.len(), |end| end + 4),
        ['\'', _, '\'', ..] => 3,
        _ => 1,
    }
}
