//! Pages of lists, newest first. Their links follow RFC 8288, and their cursors are bound to a clinic and a query.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use poem::http::Uri;
use poem_openapi::ApiResponse;
use poem_openapi::validation::{MaxLength, Maximum, Minimum};
use serde_json::{Value, json};

use crate::actors::repository::{Page, Shared};
use crate::api::http::json::{Row, Rows};
use crate::api::http::parameter::{check, described, extracted, query};
use crate::api::http::problem::Problem;
use crate::domain::Caller;
use crate::domain::fields::FieldErrors;

/// The default number of rows per page.
const USUAL: i64 = 50;
/// The maximum number of rows per page.
const MOST: i64 = 200;

/// The maximum length of a cursor.
const LONGEST_CURSOR: usize = 200;

/// The requested page of a list, from the query parameters `limit` and `cursor`.
pub struct Paging {
    path: String,
    /// The query without its cursor.
    query: String,
    limit: Option<i64>,
    cursor: Option<String>,
}

extracted!(Paging, Query, |request, body| {
    let limit = query(request, body, "limit").await?;
    check("limit", limit.as_ref(), &[&Maximum::new(MOST as f64, false), &Minimum::new(1.0, false)])?;
    let cursor = query(request, body, "cursor").await?;
    check("cursor", cursor.as_ref(), &[&MaxLength::new(LONGEST_CURSOR)])?;
    Ok(Self::new(request.uri(), limit, cursor))
});

impl Paging {
    fn new(uri: &Uri, limit: Option<i64>, cursor: Option<String>) -> Self {
        let parts = uri.query().unwrap_or_default().split('&');
        let parts: Vec<_> = parts.filter(|part| !part.is_empty() && !part.starts_with("cursor=")).collect();
        Self { path: uri.path().trim_end_matches('/').to_owned(), query: parts.join("&"), limit, cursor }
    }

    /// Returns the parameters for the contract.
    pub fn parameters() -> [Value; 2] {
        let limit = json!({ "type": "integer", "format": "int64", "maximum": MOST as f64, "minimum": 1.0 });
        let cursor = json!({ "type": "string", "maxLength": LONGEST_CURSOR });
        [
            described("limit", "query", limit, &format!("Maximum number of rows; {USUAL} by default.")),
            described("cursor", "query", cursor, "The cursor from the `Link` header of the previous page."),
        ]
    }

    /// Returns the requested page, bound to the caller's clinic.
    ///
    /// # Errors
    /// 422 if the cursor was made for another clinic or query, or was not made by this program.
    pub fn of(self, caller: &Caller) -> Result<Listing, Problem> {
        // The limit may change between pages, but the filters may not.
        let mut listed: Vec<_> = self.query.split('&').filter(|part| !part.starts_with("limit=")).collect();
        listed.sort_unstable();
        let bound = format!("{} {}?{}", caller.clinic, self.path, listed.join("&"));
        let mut binding = [0; 8];
        binding.copy_from_slice(&digest::digest(&digest::SHA256, bound.as_bytes()).as_ref()[..8]);
        let page = Page { before: None, limit: self.limit.unwrap_or(USUAL) };
        let mut listing = Listing { path: self.path, query: self.query, binding, page };
        if let Some(cursor) = self.cursor {
            let before = listing.read_cursor(&cursor).ok_or_else(|| {
                Problem::invalid(FieldErrors::one(
                    "cursor",
                    "This cursor is not for this list; follow the Link header of its first page.",
                ))
            })?;
            listing.page.before = Some(before);
        }
        Ok(listing)
    }
}

/// A page of a list.
pub struct Listing {
    path: String,
    /// The query without its cursor.
    query: String,
    binding: [u8; 8],
    page: Page,
}

impl Listing {
    /// Returns the page to fetch. It has one row more than is shown, which shows whether there is another page.
    pub fn fetch(&self) -> Page {
        Page { limit: self.page.limit + 1, ..self.page }
    }

    /// Returns the page's rows, with a link to the next page if there is one.
    pub fn listed<Found, View: Row>(
        &self,
        mut rows: Vec<Found>,
        id: impl Fn(&Found) -> i64,
        view: impl FnMut(Found) -> View,
    ) -> Listed<View> {
        let link = self.link(&rows, id);
        rows.truncate(self.page.limit as usize);
        Listed::Ok(Rows::of(rows.into_iter().map(view)), link)
    }

    /// As [`listed`](Self::listed), for rows that several requests share. The first request serializes the page for
    /// all.
    pub fn shared<Found: Clone, View: Row>(
        &self,
        rows: &Shared<Found>,
        id: impl Fn(&Found) -> i64,
        view: impl FnMut(Found) -> View,
    ) -> Listed<View> {
        let shown = rows.shown(|rows| {
            Rows::of(rows[..rows.len().min(self.page.limit as usize)].iter().cloned().map(view)).into_bytes()
        });
        Listed::Ok(Rows::written(shown), self.link(rows.all(), id))
    }

    /// Returns the link to the next page, if there is one.
    fn link<Found>(&self, rows: &[Found], id: impl Fn(&Found) -> i64) -> Option<String> {
        let limit = self.page.limit as usize;
        let last = rows.get(limit - 1).filter(|_| rows.len() > limit)?;
        let cursor = self.write_cursor(id(last));
        let joint = if self.query.is_empty() { "" } else { "&" };
        Some(format!("<{}?{}{joint}cursor={cursor}>; rel=\"next\"", self.path, self.query))
    }

    fn write_cursor(&self, before: i64) -> String {
        let mut bytes = self.binding.to_vec();
        bytes.extend(before.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn read_cursor(&self, cursor: &str) -> Option<i64> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        let before = bytes.strip_prefix(&self.binding)?;
        Some(i64::from_be_bytes(before.try_into().ok()?))
    }
}

/// A page of a list, newest first.
#[derive(ApiResponse)]
pub enum Listed<T: Row> {
    /// The rows, newest first.
    #[oai(status = 200)]
    Ok(
        Rows<T>,
        /// The next page, if there is one: `<…>; rel="next"` (RFC 8288).
        #[oai(header = "Link")]
        Option<String>,
    ),
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::domain::{AccountId, ClinicId};

    fn caller(clinic: i64) -> Caller {
        Caller {
            clinic: ClinicId(clinic),
            account: AccountId(1),
            role: "admin".into(),
            doctor: None,
            request: Uuid::nil(),
            retry: None,
        }
    }

    fn page(uri: &'static str, clinic: i64, cursor: Option<&String>) -> Result<Listing, Problem> {
        Paging::new(&Uri::from_static(uri), None, cursor.cloned()).of(&caller(clinic))
    }

    #[test]
    fn a_cursor_is_good_for_its_own_clinic_and_query_only() {
        let first = page("/api/patients?search=ann&limit=2", 1, None).unwrap();
        let cursor = Some(first.write_cursor(41));
        let next = page("/api/patients?limit=5&search=ann&cursor=x", 1, cursor.as_ref()).unwrap();
        assert_eq!(next.page.before, Some(41));
        assert!(page("/api/patients?search=ann", 2, cursor.as_ref()).is_err(), "another clinic");
        assert!(page("/api/patients?search=bob", 1, cursor.as_ref()).is_err(), "another query");
        assert!(page("/api/doctors?search=ann", 1, cursor.as_ref()).is_err(), "another list");
        assert!(page("/api/patients", 1, Some(&"garbage".to_owned())).is_err());
    }

    impl Row for i64 {}

    #[test]
    fn only_a_page_that_is_not_the_last_links_to_the_next() {
        let paging = page("/api/patients/?search=ann", 1, None).unwrap();
        let rows: Vec<i64> = (0..51).rev().collect();
        let Listed::Ok(shown, link) = paging.listed(rows.clone(), |id| *id, |id| id);
        let (Listed::Ok(again, same), shown) =
            (paging.shared(&Shared::from(rows), |id| *id, |id| id), shown.into_bytes());
        assert_eq!((&again.into_bytes(), &same), (&shown, &link), "shared or not");
        let shown: Vec<i64> = serde_json::from_slice(&shown).unwrap();
        assert_eq!((shown.len(), shown[49]), (50, 1));
        let link = link.unwrap();
        assert!(link.starts_with("</api/patients?search=ann&cursor=") && link.ends_with(">; rel=\"next\""), "{link}");
        let Listed::Ok(_, last) = paging.listed(vec![1i64], |id| *id, |id| id);
        assert_eq!(last, None);
    }
}
