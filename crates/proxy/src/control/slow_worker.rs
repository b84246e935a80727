//! The control thread with workers in the test's hands: one that hangs delays acks and nothing else.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::Duration;

use fairlead_snapshot::{
    FrameReader, FromProxy, Position, Subscribe, Tag, ToProxy, Update, decode_from_proxy, encode_to_proxy,
};

use super::run::Control;
use crate::config::ProxyConfig;
use crate::listen::Sockets;
use crate::shared::{Phase, Shared};

const PATIENCE: Duration = Duration::from_secs(10);

struct Controller {
    stream: UnixStream,
    reader: FrameReader,
}

impl Controller {
    fn send(&mut self, frame: &ToProxy<'_>) {
        self.stream.write_all(&encode_to_proxy(frame)).unwrap();
    }

    fn next(&mut self) -> FromProxy {
        let mut buffer = [0; 4096];
        loop {
            if let Some(payload) = self.reader.next_frame().unwrap() {
                return decode_from_proxy(payload).unwrap();
            }
            let count = self.stream.read(&mut buffer).unwrap();
            assert!(count > 0, "the proxy hung up");
            self.reader.push(&buffer[..count]);
        }
    }

    /// The next frame that is no telemetry.
    fn next_but_telemetry(&mut self) -> FromProxy {
        loop {
            match self.next() {
                FromProxy::Telemetry(_) => {}
                other => return other,
            }
        }
    }
}

fn update(generation: u64) -> ToProxy<'static> {
    ToProxy::Update(Update::at(Position { epoch: 1, generation }))
}

/// "Worker-level lag" (ingress-nginx 3335): what is acknowledged is with every worker.
#[test]
fn worker_level_lag_delays_acks_and_nothing_else() {
    let path = std::env::temp_dir().join(format!("fairlead-slow-worker-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let config =
        ProxyConfig { workers: Some(2), stream_socket: Some(path.clone()), ..ProxyConfig::default() };
    let shared = Shared::new(config);
    let control = Control::new(Arc::clone(&shared), Sockets::new(2, Vec::new())).unwrap();
    let thread = std::thread::spawn(move || control.run());
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut controller = Controller { stream, reader: FrameReader::new() };
    assert!(matches!(controller.next(), FromProxy::Hello(_)));
    assert!(matches!(controller.next(), FromProxy::Facts(_)));

    controller.send(&update(1));
    controller.send(&ToProxy::Subscribe(Subscribe { backends: None, period_ms: 100, tag: Tag::default() }));
    assert!(matches!(controller.next(), FromProxy::Telemetry(_)), "the thread turns");
    shared.workers[0].set_adopted(1);
    controller.send(&update(2));
    for _ in 0..3 {
        assert!(
            matches!(controller.next(), FromProxy::Telemetry(_)),
            "no ack while a worker reads the old root"
        );
    }
    assert_eq!(shared.root.load().generation, 2, "what came later is published all the same");
    assert_eq!(shared.control.generation.get(), 0);

    shared.workers[1].set_adopted(2);
    let FromProxy::Ack(first) = controller.next_but_telemetry() else { panic!("no ack") };
    assert_eq!(first.position.generation, 1);
    shared.workers[0].set_adopted(2);
    let FromProxy::Ack(second) = controller.next_but_telemetry() else { panic!("no ack") };
    assert_eq!(second.position.generation, 2);

    shared.advance(Phase::Stopped);
    thread.join().unwrap();
    std::fs::remove_file(path).unwrap();
}
