use http::{HeaderName, HeaderValue, Method, Request};
use sandtower_gateway::{Route, route};

/// Routes a request: `METHOD target`, then lines `name: value`.
pub(crate) fn route_of(data: &[u8]) {
    let Some(request) = request(data) else { return };
    let (head, ()) = request.into_parts();
    let has_dots = head.uri.path().split('/').any(|segment| segment == ".." || segment == ".");
    for domain in [None, Some("gw.example")] {
        let found = route(domain, &head);
        assert_eq!(found, route(domain, &head));
        match found {
            Route::Invalid(problem) => assert!(!problem.is_empty()),
            _ if has_dots => panic!("{:?} leads to {found:?}", head.uri),
            Route::Sandbox { id, port } => {
                let allowed =
                    |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                assert!(port > 0 && id.as_str().bytes().all(allowed), "{id} {port}");
            }
            Route::Control if domain.is_none() => {
                let named = ["e2b-sandbox-id", "e2b-sandbox-port"];
                assert!(named.iter().all(|name| !head.headers.contains_key(*name)));
            }
            _ => {}
        }
    }
}

fn request(data: &[u8]) -> Option<Request<()>> {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next()?).ok()?;
    let (method, target) = first.split_once(' ')?;
    let method = Method::from_bytes(method.as_bytes()).ok()?;
    let mut request = Request::builder().method(method).uri(target).body(()).ok()?;
    for line in lines.take(32) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let value = HeaderValue::from_bytes(value[1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            request.headers_mut().append(name, value);
        }
    }
    Some(request)
}
