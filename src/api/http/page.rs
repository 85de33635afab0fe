//! Lists: newest first, in pages whose cursors are bound to their clinic and query (RFC 8288).

use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use poem::Request;
use poem_openapi::ApiResponse;

use crate::{
    actors::repository::{Page, Shared},
    api::http::{
        json::{Row, Rows},
        problem::Problem,
    },
    domain::{Caller, fields::FieldErrors},
};

/// How many rows a page has unless asked otherwise.
const USUAL: i64 = 50;
/// The most rows that a page has.
const MOST: i64 = 200;

/// A page that a request asks for.
pub struct Paging {
    path: String,
    /// The query without its cursor.
    query: String,
    binding: [u8; 8],
    page: Page,
}

impl Paging {
    /// Reads the page that a list request asks for.
    ///
    /// # Errors
    /// 422 for a cursor that was made for another clinic or query, or by somebody else.
    pub fn of(
        request: &Request,
        caller: &Caller,
        limit: Option<i64>,
        cursor: Option<&String>,
    ) -> Result<Self, Problem> {
        let uri = request.uri();
        let path = uri.path().trim_end_matches('/').to_owned();
        let parameters = uri.query().unwrap_or_default().split('&').filter(|part| !part.is_empty());
        let parameters: Vec<_> = parameters.filter(|part| !part.starts_with("cursor=")).collect();
        let query = parameters.join("&");
        // The size of the page may change from page to page; what is listed may not.
        let mut listed: Vec<_> = parameters.iter().filter(|part| !part.starts_with("limit=")).copied().collect();
        listed.sort_unstable();
        let binding =
            digest::digest(&digest::SHA256, format!("{} {path}?{}", caller.clinic, listed.join("&")).as_bytes());
        let mut paging = Self {
            path,
            query,
            binding: [0; 8],
            page: Page { before: None, limit: limit.unwrap_or(USUAL).clamp(1, MOST) },
        };
        paging.binding.copy_from_slice(&binding.as_ref()[..8]);
        if let Some(cursor) = cursor {
            let before = paging.read_cursor(cursor).ok_or_else(|| {
                Problem::invalid(FieldErrors::one(
                    "cursor",
                    "This cursor is not for this list; follow the Link header of its first page.",
                ))
            })?;
            paging.page.before = Some(before);
        }
        Ok(paging)
    }

    /// The page to fetch: one row more than is shown, to know whether there is another page.
    pub fn fetch(&self) -> Page {
        Page { limit: self.page.limit + 1, ..self.page }
    }

    /// The page's rows with a link to the next, if there is one.
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

    /// The same of rows that others asked for as well: the first of them writes the page for all.
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

    /// The link to the next page, if there is one.
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
    use poem::http::Uri;
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

    fn paging(uri: &'static str, clinic: i64, cursor: Option<&String>) -> Result<Paging, Problem> {
        let request = Request::builder().uri(Uri::from_static(uri)).finish();
        Paging::of(&request, &caller(clinic), None, cursor)
    }

    #[test]
    fn a_cursor_is_good_for_its_own_clinic_and_query_only() {
        let first = paging("/api/patients?search=ann&limit=2", 1, None).unwrap();
        let cursor = Some(first.write_cursor(41));
        let next = paging("/api/patients?limit=5&search=ann&cursor=x", 1, cursor.as_ref()).unwrap();
        assert_eq!(next.page.before, Some(41));
        assert!(paging("/api/patients?search=ann", 2, cursor.as_ref()).is_err(), "another clinic");
        assert!(paging("/api/patients?search=bob", 1, cursor.as_ref()).is_err(), "another query");
        assert!(paging("/api/doctors?search=ann", 1, cursor.as_ref()).is_err(), "another list");
        assert!(paging("/api/patients", 1, Some(&"garbage".to_owned())).is_err());
    }

    impl Row for i64 {}

    #[test]
    fn only_a_page_that_is_not_the_last_links_to_the_next() {
        let paging = paging("/api/patients/?search=ann", 1, None).unwrap();
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
