// The services group's list, its first page, as a Node function on the AWS SDK v3 that has the same promises: the token is
// looked up by its hash and must carry the permission; one consistent Query brings the page.

import { createHash } from 'node:crypto'
import http from 'node:http'
import { DynamoDBClient, GetItemCommand, QueryCommand } from '@aws-sdk/client-dynamodb'

const TABLE = process.env.CAUSEWAY_TABLE
const dynamodb = new DynamoDBClient({})
const remembered = new Map()

const answer = (statusCode, body) => ({
  statusCode, headers: { 'content-type': 'application/json' }, body: JSON.stringify(body), isBase64Encoded: false,
})

// The token's record, remembered for a minute.
async function principal(event) {
  const [scheme, token] = (event.headers.authorization ?? '').split(' ')
  if (scheme.toLowerCase() !== 'bearer' || !token) return
  const hash = createHash('sha256').update(token).digest('hex')
  const known = remembered.get(hash)
  if (known && performance.now() - known.at < 60_000) return known.item
  const Key = { pk: { S: `TOKEN#${hash}` }, sk: { S: 'TOKEN' } }
  const { Item: item } = await dynamodb.send(new GetItemCommand({ TableName: TABLE, Key, ConsistentRead: true }))
  if (!item || item.revoked_at) return
  remembered.set(hash, { at: performance.now(), item })
  return item
}

async function handle(event) {
  const token = await principal(event)
  if (!token) return answer(401, { error: 'unauthorized' })
  if (!token.permissions.L.some(({ S }) => S === 'services:read')) return answer(403, { error: 'insufficient_scope' })
  const limit = Number(event.queryStringParameters?.limit ?? 50)
  const { Items } = await dynamodb.send(new QueryCommand({
    TableName: TABLE,
    ConsistentRead: true,
    Limit: limit + 1,
    KeyConditionExpression: 'pk = :p AND begins_with(sk, :s)',
    ExpressionAttributeValues: { ':p': { S: `T#${token.tenant.S}#services` }, ':s': { S: 'I#' } },
  }))
  const data = Items.slice(0, limit).map((item) => ({
    id: item.id.S, name: item.name.S, type: item.kind.S, isManaged: item.is_managed.BOOL,
    createdAt: item.created_at.S, updatedAt: item.updated_at.S,
  }))
  return answer(200, { data })
}

// The Runtime API over one kept connection, and nothing around it.
const agent = new http.Agent({ keepAlive: true })
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':')
const runtime = (method, path, body) => new Promise((resolve, reject) => {
  const request = http.request({ host, port, method, agent, path: `/2018-06-01/runtime/invocation/${path}` }, (response) => {
    let text = ''
    response.setEncoding('utf8').on('data', (part) => { text += part }).on('end', () => resolve({ response, text }))
  })
  request.on('error', reject).end(body)
})
for (;;) {
  const { response, text } = await runtime('GET', 'next')
  if (response.statusCode !== 200) break
  const result = JSON.stringify(await handle(JSON.parse(text)))
  await runtime('POST', `${response.headers['lambda-runtime-aws-request-id']}/response`, result)
}
