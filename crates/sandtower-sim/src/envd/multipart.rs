//! Bodies in the form `multipart/form-data`.

use super::*;

/// The most parts that a body may have.
const MAX_PARTS: usize = 1_000;
/// The longest head of a part.
const MAX_HEAD: usize = 16 * 1024;
/// The longest boundary, by RFC 2046.
const MAX_BOUNDARY: usize = 70;

/// A part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: Option<String>,
    pub(crate) filename: Option<String>,
    pub(crate) content: Bytes,
}

/// Why a body is none of that form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// What stands between the parts, if this is the content type of such a body.
pub(crate) fn boundary(content_type: &str) -> Result<String, Malformed> {
    let mut parameters = split(content_type);
    let kind = parameters.next().unwrap_or_default();
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return Err(Malformed("request Content-Type isn't multipart/form-data"));
    }
    let boundary = parameters.find_map(|parameter| value(parameter, "boundary"));
    boundary
        .filter(|boundary| (1..=MAX_BOUNDARY).contains(&boundary.len()))
        .ok_or(Malformed("no multipart boundary param in Content-Type"))
}

/// The parts of a body, which lie in it and are not copied.
pub(crate) fn parts(body: &Bytes, boundary: &str) -> Result<Vec<Part>, Malformed> {
    const END: Malformed = Malformed("multipart: NextPart: EOF");
    let delimiter = format!("--{boundary}");
    let inner = format!("\r\n{delimiter}");
    let mut at = if body.starts_with(delimiter.as_bytes()) {
        delimiter.len()
    } else {
        // Anything may stand before the first part.
        find(body, inner.as_bytes(), 0).ok_or(END)? + inner.len()
    };
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..).unwrap_or_default();
        if rest.starts_with(b"--") {
            return Ok(parts);
        }
        let blank = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        if !rest[blank..].starts_with(b"\r\n") {
            return Err(Malformed("multipart: expecting a new Part"));
        }
        if parts.len() == MAX_PARTS {
            return Err(Malformed("multipart: message too large"));
        }
        let head = at + blank + 2;
        // A part without a head begins with the empty line that would end it.
        let (head_end, content) = if body[head..].starts_with(b"\r\n") {
            (head, head + 2)
        } else {
            let end = find(body, b"\r\n\r\n", head).ok_or(END)?;
            (end, end + 4)
        };
        if head_end - head > MAX_HEAD {
            return Err(Malformed("multipart: message too large"));
        }
        let end = if body[content..].starts_with(delimiter.as_bytes()) && content >= 2 {
            // No content at all: the line's end before the boundary is that of the head.
            content - 2
        } else {
            find(body, inner.as_bytes(), content).ok_or(END)?
        };
        let content = body.slice(content.min(end)..end);
        let head = std::str::from_utf8(&body[head..head_end]);
        parts.push(part(head.map_err(|_| Malformed("malformed MIME header"))?, content)?);
        at = end + inner.len();
    }
}

fn part(head: &str, content: Bytes) -> Result<Part, Malformed> {
    let (mut name, mut filename) = (None, None);
    for line in head.split("\r\n").filter(|line| !line.is_empty()) {
        let (field, disposition) =
            line.split_once(':').ok_or(Malformed("malformed MIME header line"))?;
        if !field.trim().eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        let mut parameters = split(disposition);
        parameters.next();
        for parameter in parameters {
            name = name.or_else(|| value(parameter, "name"));
            filename = filename.or_else(|| value(parameter, "filename"));
        }
    }
    Ok(Part { name, filename, content })
}

/// What stands between semicolons that are not quoted.
fn split(field: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    field.split(move |c| {
        let ends = c == ';' && !quoted;
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        ends
    })
}

/// The value of a parameter, if it is the one of that name.
fn value(parameter: &str, name: &str) -> Option<String> {
    let (key, value) = parameter.split_once('=')?;
    if !key.trim().eq_ignore_ascii_case(name) {
        return None;
    }
    let value = value.trim();
    let Some(quoted) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return Some(value.to_owned());
    };
    let mut plain = String::with_capacity(quoted.len());
    let mut chars = quoted.chars().peekable();
    while let Some(next) = chars.next() {
        let escaped = next == '\\' && matches!(chars.peek(), Some('"' | '\\'));
        plain.extend(if escaped { chars.next() } else { Some(next) });
    }
    Some(plain.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n"))
}

fn find(body: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    let mut at = from;
    // A boundary begins with a line's end, so only those are looked at.
    while let Some(next) = body.get(at..)?.iter().position(|byte| *byte == b'\r') {
        at += next;
        if body[at..].starts_with(wanted) {
            return Some(at);
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDARY: &str = "xyz";

    fn body(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn the_parts_of_the_official_sdks_are_read() {
        let sent = "--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"/tmp/a;\\\"b\"\r\n\
                    Content-Type: text/plain\r\n\r\nhello\r\nworld\r\n\r\n--xyz--\r\n";
        let read = parts(&body(sent), BOUNDARY).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].name.as_deref(), Some("file"));
        assert_eq!(read[0].filename.as_deref(), Some("/tmp/a;\"b"));
        assert_eq!(read[0].content, "hello\r\nworld\r\n");
        let header = "multipart/form-data; boundary=----formdata-undici-06";
        assert_eq!(boundary(header).unwrap(), "----formdata-undici-06");
        assert_eq!(boundary("Multipart/Form-Data; x=1; boundary=\"a b\"").unwrap(), "a b");
    }

    #[test]
    fn empty_parts_and_none_are_read() {
        let empty =
            "--xyz\r\nContent-Disposition: form-data; name=a; filename=f\r\n\r\n\r\n--xyz--";
        assert_eq!(parts(&body(empty), BOUNDARY).unwrap()[0].content, "");
        assert_eq!(parts(&body("--xyz--"), BOUNDARY), Ok(vec![]));
        let bare = parts(&body("--xyz\r\n\r\nhi\r\n--xyz--"), BOUNDARY).unwrap();
        assert_eq!((bare[0].filename.as_ref(), &bare[0].content[..]), (None, &b"hi"[..]));
    }

    #[test]
    fn broken_bodies_are_rejected() {
        for broken in [
            "",
            "xyz",
            "--xyz",
            "--xyz\r\n",
            "--xyz\r\nno colon\r\n\r\nx\r\n--xyz--",
            "--xyz\r\nA: b\r\n\r\nnever ends",
            "--xyzA: b\r\n\r\n\r\n--xyz--",
        ] {
            assert!(parts(&body(broken), BOUNDARY).is_err(), "{broken:?}");
        }
        let many = "--xyz\r\n\r\n\r\n".repeat(2_000) + "--xyz--";
        assert!(parts(&body(&many), BOUNDARY).is_err());
        for kind in ["", "text/plain", "multipart/form-data", "multipart/form-data; boundary="] {
            assert!(boundary(kind).is_err(), "{kind:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_put_in_comes_out(
            files in prop::collection::vec(("[a-z/. ]{1,12}", prop::collection::vec(any::<u8>(), 0..64)), 0..5),
        ) {
            let mut sent = Vec::new();
            for (name, content) in &files {
                let head = format!(
                    "--a-boundary-of-its-own\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\n"
                );
                sent.extend_from_slice(head.as_bytes());
                sent.extend_from_slice(content);
                sent.extend_from_slice(b"\r\n");
            }
            sent.extend_from_slice(b"--a-boundary-of-its-own--\r\n");
            let read = parts(&sent.into(), "a-boundary-of-its-own").unwrap();
            let read: Vec<_> =
                read.into_iter().map(|part| (part.filename.unwrap(), part.content.to_vec())).collect();
            prop_assert_eq!(read, files);
        }

        #[test]
        fn nothing_makes_it_panic(noise in "(--xyz|\r\n|-|:|;|=|\"|[a-z]|\\PC){0,60}") {
            if let Ok(parts) = parts(&body(&noise), BOUNDARY) {
                let held: usize = parts.iter().map(|part| part.content.len()).sum();
                prop_assert!(held <= noise.len());
            }
            let _ = boundary(&noise);
        }
    }
}
