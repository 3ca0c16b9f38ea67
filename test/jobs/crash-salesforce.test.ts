// Law 5 on Salesforce, where nothing but the look for our key keeps a task from being made twice.
import { crashTests } from './crash.ts'

crashTests('salesforce')
