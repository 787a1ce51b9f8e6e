//! The next id, as a future that is ready at once while ids are at hand.

use super::{Client, Error};
use std::pin::Pin;
use std::task::{Context, Poll};

type Waiting<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

/// By hand rather than `async`, and inlined: as a call, the result alone (40 bytes, through memory) and the state cost
/// about as much as the id. What waits is in a box of a type that nobody knows, so that nothing of it is compiled into
/// callers, not even how it is dropped.
pub struct NextId<'a> {
    client: &'a Client,
    /// Somebody came and found nothing.
    waiting: Option<Waiting<'a>>,
}

impl NextId<'_> {
    pub fn of(client: &Client) -> NextId<'_> {
        NextId { client, waiting: None }
    }

    #[cold]
    #[inline(never)]
    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Result<u64, Error>> {
        let client = self.client;
        self.waiting.get_or_insert_with(|| Box::pin(client.wait_for_one())).as_mut().poll(context)
    }
}

impl Future for NextId<'_> {
    type Output = Result<u64, Error>;

    #[inline(always)]
    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.waiting.is_none()
            && let Some(id) = self.client.try_next_id()
        {
            return Poll::Ready(Ok(id));
        }
        self.wait(context)
    }
}
