//! Arguments of a statement: the four kinds of column there are, each with its NULL.

use sqlx::query::Query;
use sqlx::{Arguments, Database, Encode, Type};
use std::borrow::Cow;

/// NULL keeps its type: PostgreSQL wants to know it.
pub(crate) enum Arg<'q> {
    Int(Option<i64>),
    Bool(Option<bool>),
    Text(Option<Cow<'q, str>>),
    Bytes(Option<Cow<'q, [u8]>>),
}

pub(super) fn bind<'q, D: Database>(
    query: Query<'q, D, D::Arguments>,
    arg: Arg<'q>,
) -> Query<'q, D, D::Arguments>
where
    D::Arguments: Arguments<Database = D>,
    Option<i64>: Encode<'q, D> + Type<D>,
    Option<bool>: Encode<'q, D> + Type<D>,
    Option<String>: Encode<'q, D> + Type<D>,
    Option<&'q str>: Encode<'q, D> + Type<D>,
    Option<Vec<u8>>: Encode<'q, D> + Type<D>,
    Option<&'q [u8]>: Encode<'q, D> + Type<D>,
{
    match arg {
        Arg::Int(value) => query.bind(value),
        Arg::Bool(value) => query.bind(value),
        Arg::Text(Some(Cow::Owned(value))) => query.bind(Some(value)),
        Arg::Text(Some(Cow::Borrowed(value))) => query.bind(Some(value)),
        Arg::Text(None) => query.bind(None::<&'q str>),
        Arg::Bytes(Some(Cow::Owned(value))) => query.bind(Some(value)),
        Arg::Bytes(Some(Cow::Borrowed(value))) => query.bind(Some(value)),
        Arg::Bytes(None) => query.bind(None::<&'q [u8]>),
    }
}

/// A value, and an optional one, as an argument.
macro_rules! args {
    ($($value:ty => $kind:ident($map:expr)),+ $(,)?) => {$(
        impl<'q> From<$value> for Arg<'q> {
            fn from(value: $value) -> Self {
                Self::$kind(Some($map(value)))
            }
        }
        impl<'q> From<Option<$value>> for Arg<'q> {
            fn from(value: Option<$value>) -> Self {
                Self::$kind(value.map($map))
            }
        }
    )+};
}

args! {
    i64 => Int(|value| value),
    bool => Bool(|value| value),
    &'q str => Text(Cow::Borrowed),
    &'q String => Text(|text: &'q String| Cow::Borrowed(text.as_str())),
    String => Text(Cow::Owned),
    &'q [u8] => Bytes(Cow::Borrowed),
    &'q Vec<u8> => Bytes(|bytes: &'q Vec<u8>| Cow::Borrowed(bytes.as_slice())),
    Vec<u8> => Bytes(Cow::Owned),
}

impl<'q> From<&'q Option<String>> for Arg<'q> {
    fn from(value: &'q Option<String>) -> Self {
        value.as_deref().into()
    }
}
