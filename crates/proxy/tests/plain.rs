//! Requests and responses without incident.

mod support;

use support::{Backend, Client, Proxy};

#[test]
fn a_get_is_proxied_and_the_connection_to_the_endpoint_is_kept() {
    let backend = Backend::saying("hello");
    let proxy = Proxy::start(&[&backend]);
    let mut client = Client::connect(proxy.address);
    for _ in 0..10 {
        let response = client.get("/greet?q=1");
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
    }
    let requests = backend.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 10);
    assert_eq!(requests[0].line(), "GET /greet?q=1 HTTP/1.1");
    assert_eq!(requests[0].field("host"), Some("app.test"));
    assert_eq!(requests[0].field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(requests[0].field("x-forwarded-proto"), Some("http"));
    assert_eq!(backend.connections.load(std::sync::atomic::Ordering::Relaxed), 1);
    proxy.finish();
}
