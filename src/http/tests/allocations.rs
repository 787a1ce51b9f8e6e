//! What the commonest answer takes from the heap: nothing.

use super::{Node, within};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The system's allocator, which counts how often a thread asks it for memory.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ASKED.set(ASKED.get() + 1);
}

// SAFETY: all of it is the system's allocator's; counting asks it for nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as this function's caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as this function's caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as this function's caller promises.
        unsafe { System.realloc(start, layout, size) }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        // SAFETY: as this function's caller promises.
        unsafe { System.dealloc(start, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Client and server on one thread, which is what is counted. The client writes and reads memory it has.
#[tokio::test]
async fn one_id_allocates_nothing() {
    let node = Node::start().await;
    let mut stream = TcpStream::connect(node.address).await.unwrap();
    let request =
        b"GET /api/v1/id HTTP/1.1\r\nHost: ids.example.com\r\nUser-Agent: a client\r\nAccept: application/json\r\n\
        Accept-Encoding: gzip\r\nConnection: keep-alive\r\n\r\n";
    let mut answer = [0; 1_024];
    let mut asked = [0; 2];
    for asked in &mut asked {
        let before = ASKED.get();
        for _ in 0..1_000 {
            stream.write_all(request).await.unwrap();
            let mut length = 0;
            while !answer[..length].ends_with(b"\"}") {
                let read = within(stream.read(&mut answer[length..])).await.unwrap();
                assert_ne!(read, 0, "cut after {:?}", &answer[..length]);
                length += read;
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
        *asked = ASKED.get() - before;
    }
    // The first turn has what a connection keeps.
    assert!(asked[1] < 10, "{asked:?} times for 1,000 requests each");
    assert!(asked[0] > 0, "the counting counts");
}
