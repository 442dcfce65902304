//! The service, the database and the schema of a table. dynacrawl creates them if they are missing, and
//! changes nothing about those that are there: a request would clear what people set.

use std::collections::HashSet;

use dynacrawl_catalogs::Shared;
use dynacrawl_catalogs::openmetadata::{OpenMetadata, Request};
use dynacrawl_model::NamedScope;
use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::sink::DeliveryError;
use crate::web::{Api, encoded};

pub(super) async fn create(
    api: &Api,
    catalog: &OpenMetadata,
    scope: &NamedScope,
    known: &mut HashSet<String>,
) -> Result<(), DeliveryError> {
    for Shared { id, entity } in catalog.parents(scope) {
        if known.contains(&id) {
            continue;
        }
        let Request { path, body, .. } = entity;
        let by_name = format!("{path}/name/{}?include=all", encoded(&id));
        let answer = api.call(Method::GET, &by_name, "", None).await?;
        match answer.status {
            StatusCode::NOT_FOUND => {
                let created = api.call(Method::PUT, path, "application/json", Some(&body)).await?;
                if !created.status.is_success() {
                    return Err(created.into_error());
                }
            }
            status if status.is_success() => {
                let stored: Value = answer.json()?;
                if stored["deleted"] == true {
                    // Restoring it would restore all its tables, also those that are gone.
                    let problem = format!("{id} is deleted in OpenMetadata; restore it there, or choose another name");
                    return Err(DeliveryError::new(problem));
                }
                let of_service = body["serviceType"].as_str().filter(|kind| stored["serviceType"] != **kind);
                if of_service.is_some() {
                    let problem =
                        format!("the service {id} in OpenMetadata is not one of DynamoDB; choose another name");
                    return Err(DeliveryError::new(problem));
                }
            }
            _ => return Err(answer.into_error()),
        }
        known.insert(id);
    }
    Ok(())
}
