-- Statements have one plan for all values. In a clinic that one account entered, or where one doctor treats all, the planner would
-- take an owner or a doctor for everybody's, and read the whole clinic for somebody who has few rows.
ALTER TABLE patients ALTER created_by SET (n_distinct = -0.01);
ALTER TABLE appointments ALTER patient_owner SET (n_distinct = -0.01), ALTER doctor_id SET (n_distinct = -0.01);
ALTER TABLE mappings ALTER patient_owner SET (n_distinct = -0.01), ALTER doctor_id SET (n_distinct = -0.01);
ANALYZE patients, appointments, mappings;
